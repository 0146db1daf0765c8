#compdef nshtrainer
# Completion of nshtrainer for zsh, written by `nshtrainer completion zsh`.

_nshtrainer() {
    local line files
    local -a given open closed
    given=("${(@Q)words[2,CURRENT-1]}" "$PREFIX")
    for line in "${(@f)$(${(Q)words[1]} __complete "${given[@]}" 2>/dev/null)}"; do
        case $line in
            "") ;;
            :files*) files=1 ;;
            # A key goes on behind its "=" or ".".
            *[=.]$'\t'*) open+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
            *) closed+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    (( $#open )) && _describe -t keys key open -S ''
    (( $#closed )) && _describe -t values value closed
    # After an option such as --config=
    [[ -n $files ]] && { compset -P '--*='; _files; }
}

if [[ $funcstack[1] == _nshtrainer ]]; then
    _nshtrainer "$@"
else
    compdef _nshtrainer nshtrainer
fi
