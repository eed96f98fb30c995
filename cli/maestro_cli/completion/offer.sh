__maestro_data() {
    local home=${HOME%/}
    if [[ -n ${MAESTRO_DATA_DIR-} ]]; then
        case $MAESTRO_DATA_DIR in
            "~/"*) REPLY=$home/${MAESTRO_DATA_DIR#"~/"} ;;
            *) REPLY=$MAESTRO_DATA_DIR ;;
        esac
    elif [[ ${XDG_DATA_HOME-} == /* ]]; then
        REPLY=$XDG_DATA_HOME/maestro
    elif [[ $OSTYPE == darwin* ]]; then
        REPLY="$home/Library/Application Support/maestro"
    else
        REPLY=$home/.local/share/maestro
    fi
}

__maestro_add() {
    if [[ $1 == "$cur"* ]]; then COMPREPLY+=("$1"); fi
}

__maestro_sessions() {
    local file line id name
    __maestro_data
    for file in "$REPLY"/sessions/*.json; do
        [[ -r $file ]] || continue
        IFS= read -r line <"$file" || true
        # Skip sessions that have ended.
        case $line in *'"completedAt":'*) continue ;; esac
        id=${file##*/}
        id=${id%.json}
        __maestro_add "$id"
        name=${line#*'"name":"'}
        if [[ $name != "$line" ]]; then
            name=${name%%'"'*}
            case $name in "$id" | *[!A-Za-z0-9_.-]*) ;; *) __maestro_add "$name" ;; esac
        fi
    done
}

__maestro_groups() {
    local file
    __maestro_data
    for file in "$REPLY"/groups/*.json; do
        [[ -r $file ]] || continue
        file=${file##*/}
        __maestro_add "${file%.json}"
    done
}

__maestro_audiences() {
    local word file
    for word in @AUDIENCES@; do __maestro_add "$word"; done
    __maestro_data
    for file in "$REPLY"/groups/*.json; do
        [[ -e $file ]] || continue
        word=${file##*/}
        __maestro_add "@${word%.json}"
    done
}

__maestro_messages() {
    local folder file id
    __maestro_add last
    [[ -n ${MAESTRO_SESSION_ID-} ]] || return 0
    __maestro_data
    for folder in "$@"; do
        for file in "$REPLY/messages/$folder/$MAESTRO_SESSION_ID"/*.json; do
            # A link to a deleted message leads nowhere.
            [[ -e $file ]] || continue
            id=${file##*/}
            id=${id%.json}
            # The random part is enough, unless a whole id was begun.
            case $cur/$id in
                msg*) ;;
                */msg_[0-9]*_?????????_???????) id=${id#msg_*_}; id=${id%_*} ;;
            esac
            __maestro_add "$id"
        done
    done
}

__maestro_templates() {
    local folder=$PWD file config=${MAESTRO_CONFIG-}
    for file in "$@"; do __maestro_add "$file"; done
    if [[ -z $config ]]; then
        if [[ ${XDG_CONFIG_HOME-} == /* ]]; then config=$XDG_CONFIG_HOME/maestro/config.toml
        else config=$HOME/.config/maestro/config.toml; fi
    fi
    # The project's folder is the nearest one above, up to the repository's root or the home directory.
    while [[ ! -d $folder/.maestro/templates && -n $folder && $folder != "$HOME" && ! -e $folder/.git ]]; do
        folder=${folder%/*}
    done
    for file in "$folder"/.maestro/templates/*.md "${config%/*}"/templates/*.md; do
        [[ -r $file ]] || continue
        file=${file##*/}
        __maestro_add "${file%.md}"
    done
}

__maestro_value() {
    local word
    case $1 in
        session) __maestro_sessions ;;
        group) __maestro_groups ;;
        member) __maestro_groups; __maestro_sessions ;;
        receiver) __maestro_add parent; __maestro_add operator; __maestro_audiences; __maestro_sessions ;;
        message) shift; __maestro_messages "$@" ;;
        template) shift; __maestro_templates "$@" ;;
        file) __maestro_files ;;
        words) shift; for word in "$@"; do __maestro_add "$word"; done ;;
    esac
    return 0
}

__maestro_offer() {
    local cur prev route word REPLY
    local -i at=1 place=$COMP_CWORD
    COMPREPLY=()
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD-1]}
    # bash splits `--to=x` into three words.
    if [[ $cur == "=" ]]; then cur=; elif [[ $prev == "=" ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
    # It also splits `@workers` into two, but completes both as one.
    if [[ $prev == "@" ]]; then cur=@$cur; prev=${COMP_WORDS[COMP_CWORD-2]}; place=COMP_CWORD-1; fi
    route=
    while (( at < COMP_CWORD )); do
        word=${COMP_WORDS[at]}
        case "$route $word" in
            @ROUTES@) route="${route:+$route }$word" ;;
            *) break ;;
        esac
        at+=1
    done
    case "$route $prev" in
@VALUES@
    esac
    if [[ $cur == -* ]]; then
        case $route in
@OPTIONS@
        esac
        return 0
    fi
    case $route in
@ARGUMENTS@
    esac
    return 0
}
