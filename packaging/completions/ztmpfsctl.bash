# bash completion for ztmpfsctl(1). Installed as /usr/share/bash-completion/completions/ztmpfsctl.
# shellcheck shell=bash

_ztmpfsctl_general='--json --help --version'
_ztmpfsctl_commands='list stats metrics top compact shrink set upgrade reload forget check estimate'

# The options of a command.
_ztmpfsctl_options() {
  case "$1" in
    top) echo '--interval --count' ;;
    estimate) echo '--all --codec' ;;
  esac
}

# The names of this user's mounts.
_ztmpfsctl_mounts() {
  ztmpfsctl --json list 2>/dev/null | grep -o '"name":"[A-Za-z0-9._-]*"' | cut -d '"' -f 4
}

_ztmpfsctl() {
  # Words as the shell sees them, but not cut at '=' and ':'.
  local line="${COMP_LINE:0:COMP_POINT}" words=() current previous command='' word
  read -ra words <<<"$line"
  [[ "$line" == *[[:space:]] ]] && words+=('')
  current="${words[-1]}"
  previous="${words[-2]}"
  for word in "${words[@]:1:${#words[@]}-2}"; do
    if [[ "$word" != -* ]]; then
      command="$word"
      break
    fi
  done

  COMPREPLY=()
  if [[ "$previous" == --interval || "$previous" == --count ]]; then
    return
  elif [[ "$previous" == --codec ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'lz4 zstd zstd:1 zstd:9 zstd:19' -- "$current")
  elif [[ "$current" == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$_ztmpfsctl_general $(_ztmpfsctl_options "$command")" -- "$current")
  elif [[ -z "$command" ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$_ztmpfsctl_commands" -- "$current")
  else
    case "$command" in
      list) ;;
      estimate)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        ;;
      set)
        compopt -o nospace
        mapfile -t COMPREPLY < <(compgen -W "$(_ztmpfsctl_mounts) size= hot= psi=" -- "$current")
        ;;
      *)
        if [[ "$current" == */* ]]; then
          compopt -o filenames
          mapfile -t COMPREPLY < <(compgen -d -- "$current")
        else
          mapfile -t COMPREPLY < <(compgen -W "$(_ztmpfsctl_mounts)" -- "$current")
        fi
        ;;
    esac
  fi
  # Readline replaces only what stands behind the last of its word breaks.
  local kept="${current%"${current##*[=:]}"}"
  COMPREPLY=("${COMPREPLY[@]#"$kept"}")
}

complete -F _ztmpfsctl ztmpfsctl
