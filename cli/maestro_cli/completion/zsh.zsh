__maestro_files() { wants_files=1; }

_maestro() {
    local -a COMP_WORDS COMPREPLY open
    local -i COMP_CWORD=$(( CURRENT - 1 ))
    local wants_files=
    COMP_WORDS=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
    if [[ $PREFIX == --*=* ]]; then
        # Split it as bash does.
        COMP_WORDS[CURRENT]=("${PREFIX%%=*}" "=" "${(Q)PREFIX#*=}")
        COMP_CWORD+=2
        compset -P 1 '*='
    fi
    () { emulate -L sh; setopt kshglob noshglob braceexpand; __maestro_offer; }
    if [[ -n $wants_files ]]; then
        _files
        return
    fi
    open=(${(M)COMPREPLY:#*=})
    COMPREPLY=(${COMPREPLY:#*=})
    compadd -a COMPREPLY
    compadd -S '' -a open
}

if [[ $funcstack[1] == _maestro ]]; then
    # zsh loaded this file by its name for the first Tab. Answer that Tab too.
    _maestro "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit; compinit -D; }
    compdef _maestro @NAMES@
fi
