# fish completion for ztmpfsctl(1).

function __fish_ztmpfsctl_mounts
    ztmpfsctl --json list 2>/dev/null | string match -ra '"name":"[A-Za-z0-9._-]*"' | string split -f 4 '"'
end

set -l commands list stats metrics top compact shrink set upgrade reload forget check estimate
set -l asking stats metrics top compact shrink set upgrade reload forget check

complete -c ztmpfsctl -f
complete -c ztmpfsctl -l json -d 'For programs: the answer of the daemon as it is'
complete -c ztmpfsctl -s h -l help -d 'Print help'
complete -c ztmpfsctl -s V -l version -d 'Print the version'

set -l no_command "not __fish_seen_subcommand_from $commands"
complete -c ztmpfsctl -n $no_command -a list -d 'The mounts of this user'
complete -c ztmpfsctl -n $no_command -a stats -d 'Memory, contents, ratios and requests'
complete -c ztmpfsctl -n $no_command -a metrics -d 'The figures in the text format of Prometheus'
complete -c ztmpfsctl -n $no_command -a top -d 'A mount, live'
complete -c ztmpfsctl -n $no_command -a compact -d 'Move partly filled spans together'
complete -c ztmpfsctl -n $no_command -a shrink -d 'Give back memory'
complete -c ztmpfsctl -n $no_command -a set -d 'Change size, hot or psi'
complete -c ztmpfsctl -n $no_command -a upgrade -d 'Have the program that is installed now serve'
complete -c ztmpfsctl -n $no_command -a reload -d 'Apply the configuration as it is now'
complete -c ztmpfsctl -n $no_command -a forget -d 'Free what keep has kept'
complete -c ztmpfsctl -n $no_command -a check -d 'Audit every invariant'
complete -c ztmpfsctl -n $no_command -a estimate -d 'What trees would take in a mount'

complete -c ztmpfsctl -n "__fish_seen_subcommand_from $asking" -a '(__fish_ztmpfsctl_mounts)'
complete -c ztmpfsctl -n '__fish_seen_subcommand_from set' -a 'size= hot= psi='
complete -c ztmpfsctl -n '__fish_seen_subcommand_from top' -s i -l interval -x -d 'Seconds between two views'
complete -c ztmpfsctl -n '__fish_seen_subcommand_from top' -s n -l count -x -d 'End after so many views'
complete -c ztmpfsctl -n '__fish_seen_subcommand_from estimate' -F
complete -c ztmpfsctl -n '__fish_seen_subcommand_from estimate' -l all -d 'Read everything'
complete -c ztmpfsctl -n '__fish_seen_subcommand_from estimate' -l codec -x -a 'lz4 zstd zstd:1 zstd:9 zstd:19' -d 'Compare this one too'
