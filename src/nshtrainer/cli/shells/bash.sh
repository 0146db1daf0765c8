# Completion of nshtrainer for bash, written by `nshtrainer completion bash`.

_nshtrainer() {
    local line="${COMP_LINE:0:COMP_POINT}" words candidate files="" cut=""
    read -ra words <<<"$line"
    [[ $line == *[[:blank:]] ]] && words+=("")
    local current="${words[${#words[@]} - 1]}"
    # Bash completes what follows the last "=" alone, unless "=" is no longer in COMP_WORDBREAKS.
    [[ $COMP_WORDBREAKS == *=* && $current == *=* ]] && cut="${current%=*}="
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        case $candidate in
            :files) files=1 ;;
            *" "*) ;; # a value that would need quotes
            *) COMPREPLY+=("${candidate#"$cut"}") ;;
        esac
    done < <("${1/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)
    if [[ $files && ${#COMPREPLY[@]} -eq 0 ]]; then
        compopt -o default 2>/dev/null
    elif [[ $files ]]; then
        while read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "$current")
    fi
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -F _nshtrainer nshtrainer
