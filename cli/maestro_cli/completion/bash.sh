__maestro_files() {
    # The shell's default completion quotes file names and ends a folder with a slash. bash 3 does not offer it here.
    if compopt -o default 2>/dev/null; then return 0; fi
    local word
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
}

_maestro() {
    __maestro_offer
    # A setting such as `rate_limit=` is followed by its value, without a space.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
    return 0
}

complete -o nosort -F _maestro @NAMES@
