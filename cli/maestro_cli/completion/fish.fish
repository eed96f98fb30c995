function __maestro_data
    if test -n "$MAESTRO_DATA_DIR"
        string replace -r '^~/' "$HOME/" -- $MAESTRO_DATA_DIR
    else if string match -q '/*' -- "$XDG_DATA_HOME"
        echo $XDG_DATA_HOME/maestro
    else if test -d $HOME/Library/"Application Support"
        echo $HOME/Library/"Application Support"/maestro
    else
        echo $HOME/.local/share/maestro
    end
end

function __maestro_sessions
    for file in (__maestro_data)/sessions/*.json
        read -l line <$file
        # Skip sessions that have ended.
        string match -q '*"completedAt":*' -- $line; and continue
        set -l id (string replace -r '.*/(.*)\.json$' '$1' -- $file)
        echo $id
        set -l name (string match -r '"name":"([A-Za-z0-9_.-]+)"' -- $line)
        test (count $name) -gt 1; and test $name[2] != $id; and echo $name[2]
    end
    true
end

function __maestro_receivers
    string split ' ' -- 'parent operator @AUDIENCES@'
    for file in (__maestro_data)/groups/*.json
        string replace -r '.*/(.*)\.json$' '@$1' -- $file
    end
    __maestro_sessions
end

function __maestro_groups
    for file in (__maestro_data)/groups/*.json
        string replace -r '.*/(.*)\.json$' '$1' -- $file
    end
    true
end

function __maestro_members
    __maestro_groups
    __maestro_sessions
end

function __maestro_messages
    echo last
    test -n "$MAESTRO_SESSION_ID"; or return
    for folder in $argv
        for file in (__maestro_data)/messages/$folder/$MAESTRO_SESSION_ID/*.json
            # A link to a deleted message leads nowhere.
            test -e $file; or continue
            set -l id (string replace -r '.*/(.*)\.json$' '$1' -- $file)
            # The random part is enough, unless a whole id was begun.
            string match -q 'msg*' -- (commandline -ct); and echo $id; and continue
            string replace -r '^msg_[0-9]+_(.{9})_.{7}$' '$1' -- $id
        end
    end
    true
end

function __maestro_templates
    string split ' ' -- "$argv"
    set -l config $MAESTRO_CONFIG
    if test -z "$config"
        if string match -q '/*' -- "$XDG_CONFIG_HOME"
            set config $XDG_CONFIG_HOME/maestro/config.toml
        else
            set config $HOME/.config/maestro/config.toml
        end
    end
    # The project's folder is the nearest one above, up to the repository's root or the home directory.
    set -l folder $PWD
    while not test -d $folder/.maestro/templates; and test -n "$folder" -a "$folder" != $HOME; and not test -e $folder/.git
        set folder (string replace -r '/[^/]*$' '' -- $folder)
    end
    for file in $folder/.maestro/templates/*.md (string replace -r '/[^/]*$' '' -- $config)/templates/*.md
        string replace -r '.*/(.*)\.md$' '$1' -- $file
    end
    true
end

# Succeeds if the words so far name exactly this command.
function __maestro_at
    set -l words (commandline -opc)[2..-1]
    set -l wanted (string split ' ' -- $argv[1])
    set -l route
    for word in $words
        contains -- "$route $word" $__maestro_routes; or break
        set route (string trim -- "$route $word")
    end
    test "$route" = "$argv[1]"
end

# The same, where no argument of it was given yet.
function __maestro_first_of
    __maestro_at $argv[1]; and test (count (commandline -opc)) -eq (math 1 + (count (string split ' ' -- $argv[1])))
end

set -g __maestro_routes @ROUTES@
@COMPLETIONS@
