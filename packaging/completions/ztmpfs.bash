# bash completion for ztmpfs(8). Installed as /usr/share/bash-completion/completions/ztmpfs.
# shellcheck shell=bash

_ztmpfs_general='-f --foreground -o --check-config --config-dir -h --help -V --version'
_ztmpfs_run='-o --copy-in --copy-out --copy-out-always --replace -q --quiet -h --help'
# Of -o: with a value, without one, and those of mount(8).
_ztmpfs_value_options='size logical hot block codec mode uid gid psi hang fsname subtype'
_ztmpfs_plain_options='allow_other default_permissions xattr acl keep remount'
_ztmpfs_flags='ro rw suid nosuid dev nodev exec noexec atime noatime relatime norelatime strictatime nostrictatime
  diratime nodiratime lazytime nolazytime sync async dirsync symfollow nosymfollow silent loud'

# What may stand behind "OPTION=".
_ztmpfs_values() {
  case "$1" in
    block) echo '4K 8K 16K 32K 64K 128K' ;;
    codec) echo 'lz4 zstd zstd:1 zstd:9 zstd:19 none' ;;
    size) echo '25% 50% 75%' ;;
    hang) echo 'off 30s' ;;
    psi) echo 'off some:100ms/1s full:50ms/1s /proc/pressure/memory' ;;
    mode) echo '0700 0755 1777' ;;
  esac
}

# Completes the last option of a list that commas separate.
_ztmpfs_option_list() {
  local current="$1" before='' last option
  last="${current##*,}"
  before="${current%"$last"}"
  compopt -o nospace
  if [[ "$last" == *=* ]]; then
    option="${last%%=*}"
    mapfile -t COMPREPLY < <(compgen -P "$before$option=" -W "$(_ztmpfs_values "$option")" -- "${last#*=}")
  else
    mapfile -t COMPREPLY < <(
      compgen -P "$before" -W "${_ztmpfs_value_options// /= }= $_ztmpfs_plain_options $_ztmpfs_flags" -- "$last"
    )
  fi
}

# The names that /etc/ztmpfs configures.
_ztmpfs_names() {
  local file
  for file in /etc/ztmpfs/*.toml; do
    [[ -e "$file" ]] && basename "$file" .toml
  done
}

_ztmpfs_run_command() {
  local words=("${@:1:$#-1}") current="${*: -1}" at=2 word
  while ((at < ${#words[@]})); do
    word="${words[at]}"
    case "$word" in
      --) at=$((at + 1)) && break ;;
      -o | --copy-in | --copy-out | --copy-out-always) at=$((at + 2)) ;;
      -*) at=$((at + 1)) ;;
      *) break ;;
    esac
  done
  case "${words[-1]}" in
    -o) ((at > ${#words[@]})) && _ztmpfs_option_list "$current" && return ;;
    --copy-in) ((at > ${#words[@]})) && compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$current") && return ;;
    --copy-out | --copy-out-always)
      ((at > ${#words[@]})) && compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$current") && return
      ;;
  esac
  if ((at >= ${#words[@]})) && [[ "$current" == -* && "${words[-1]}" != -- ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$_ztmpfs_run" -- "$current")
  elif declare -F _command_offset >/dev/null && ((at < COMP_CWORD)); then
    _command_offset "$at"
  elif ((at >= ${#words[@]})); then
    mapfile -t COMPREPLY < <(compgen -c -- "$current")
  else
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}

_ztmpfs() {
  # Words as the shell sees them, but not cut at '=' and ':'.
  local line="${COMP_LINE:0:COMP_POINT}" words=() current previous names=0 word at
  read -ra words <<<"$line"
  [[ "$line" == *[[:space:]] ]] && words+=('')
  current="${words[-1]}"
  previous="${words[-2]}"
  for ((at = 1; at < ${#words[@]} - 1; ++at)); do
    word="${words[at]}"
    [[ "$word" != -* && "${words[at - 1]}" != -o && "${words[at - 1]}" != --config-dir ]] && names=$((names + 1))
  done

  COMPREPLY=()
  if [[ "${words[1]}" == run && ${#words[@]} -gt 2 ]]; then
    _ztmpfs_run_command "${words[@]}"
  elif [[ "$previous" == -o ]]; then
    _ztmpfs_option_list "$current"
  elif [[ "$previous" == --config-dir ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -d -- "$current")
  elif [[ "$current" == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$_ztmpfs_general" -- "$current")
  elif ((names == 0)); then
    mapfile -t COMPREPLY < <(compgen -W "$( ((${#words[@]} == 2)) && echo run) $(_ztmpfs_names)" -- "$current")
  elif ((names == 1)); then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -d -- "$current")
  fi
  # Readline replaces only what stands behind the last of its word breaks.
  local kept="${current%"${current##*[=:]}"}"
  COMPREPLY=("${COMPREPLY[@]#"$kept"}")
}

complete -F _ztmpfs ztmpfs
