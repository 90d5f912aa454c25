# fish completion for ztmpfs(8).

function __fish_ztmpfs_option_list
    set -l value_options size logical hot block codec mode uid gid psi hang fsname subtype
    set -l plain_options allow_other default_permissions xattr acl keep remount
    set -l flags ro rw suid nosuid dev nodev exec noexec atime noatime relatime norelatime strictatime nostrictatime \
        diratime nodiratime lazytime nolazytime sync async dirsync symfollow nosymfollow silent loud
    set -l before (string replace -r '[^,]*$' '' -- (commandline -ct))
    printf '%s\n' $before$value_options= $before$plain_options $before$flags
    printf '%s\n' "$before"block=(string split ' ' '4K 8K 16K 32K 64K 128K')
    printf '%s\n' "$before"codec=(string split ' ' 'lz4 zstd zstd:1 zstd:9 zstd:19 none')
end

function __fish_ztmpfs_names
    for file in /etc/ztmpfs/*.toml
        basename $file .toml
    end
end

function __fish_ztmpfs_is_run
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = run
end

complete -c ztmpfs -f
complete -c ztmpfs -n 'not __fish_ztmpfs_is_run' -s f -l foreground -d 'Stay in the foreground, log to stderr'
complete -c ztmpfs -s o -x -a '(__fish_ztmpfs_option_list)' -d 'Options of the mount'
complete -c ztmpfs -n 'not __fish_ztmpfs_is_run' -l check-config -d 'Mount nothing, print what would be mounted'
complete -c ztmpfs -n 'not __fish_ztmpfs_is_run' -l config-dir -x -a '(__fish_complete_directories)' -d 'Where NAME.toml is looked for'
complete -c ztmpfs -s h -l help -d 'Print help'
complete -c ztmpfs -n 'not __fish_ztmpfs_is_run' -s V -l version -d 'Print the version'
complete -c ztmpfs -n __fish_is_first_arg -a run -d 'Run a command in a mount of its own'
complete -c ztmpfs -n __fish_is_first_arg -a '(__fish_ztmpfs_names)' -d 'Configured'
complete -c ztmpfs -n 'not __fish_ztmpfs_is_run; and not __fish_is_first_arg' -a '(__fish_complete_directories)'

complete -c ztmpfs -n __fish_ztmpfs_is_run -l copy-in -x -a '(__fish_complete_directories)' -d 'Copy this into the mount first'
complete -c ztmpfs -n __fish_ztmpfs_is_run -l copy-out -r -F -d 'Copy this out when the command has succeeded'
complete -c ztmpfs -n __fish_ztmpfs_is_run -l copy-out-always -r -F -d 'Copy this out, also when the command has failed'
complete -c ztmpfs -n __fish_ztmpfs_is_run -l replace -d 'Let --copy-out replace directories'
complete -c ztmpfs -n __fish_ztmpfs_is_run -s q -l quiet -d 'No line about what was saved'
complete -c ztmpfs -n __fish_ztmpfs_is_run -a '(__fish_complete_subcommand --fcs-skip=2)'
