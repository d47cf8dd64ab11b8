# SPDX-License-Identifier: MIT
# bash completion for npumm-client. Needs nothing of the bash-completion package but its loading.

# The words of "$1" that begin with $2.
_npumm_client_words()
{
        mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

# Folders, and the files of suffix $1 (all files without one), that begin with $2.
_npumm_client_files()
{
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$2"; compgen -f ${1:+-X "!*$1"} -- "$2")
}

# The value $2 of option $1.
_npumm_client_value()
{
        case $1 in
        --output) _npumm_client_words "int32 int8 float32 tile16-shift7" "$2" ;;
        --rounding) _npumm_client_words "floor nearest-even" "$2" ;;
        --shift) _npumm_client_words "$(echo {0..31})" "$2" ;;
        --class) _npumm_client_words "normal interactive bulk" "$2" ;;
        --scenario) _npumm_client_words "single multi server offline" "$2" ;;
        --verify) _npumm_client_words "all sample none" "$2" ;;
        policy) _npumm_client_words "natural hold window" "$2" ;;
        stacking) _npumm_client_words "on off" "$2" ;;
        --socket | --workload) _npumm_client_files "" "$2" ;;
        *) _npumm_client_files .npy "$2" ;;
        esac
}

_npumm_client()
{
        local cur=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} command="" word
        local common="--socket= --help --version" options

        for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
                case $word in
                matmul | ping | status | bench | set | selftest)
                        command=$word
                        break
                        ;;
                esac
        done

        # "--output=int" comes as three words: "--output", "=", "int".
        if [ "$cur" = = ]; then
                cur=""
        elif [ "$option" = = ]; then
                option=${COMP_WORDS[COMP_CWORD - 2]}
        fi
        case $option in
        --output | --rounding | --shift | --class | --scenario | --verify | --socket | --workload | --row-scale | \
                --col-scale | --bias | -o)
                _npumm_client_value "$option" "$cur"
                return
                ;;
        policy | stacking)
                if [ "$command" = set ]; then
                        _npumm_client_value "$option" "$cur"
                        return
                fi
                ;;
        --clients | --depth | --rate | --think-us | --shape | --seconds | --warmup | --deadline-us | --seed)
                return
                ;;
        esac

        options=$common
        case $command in
        matmul)
                options+=" -o --output= --shift= --rounding= --row-scale= --col-scale= --bias= --transposed-b --inline"
                options+=" --class= --deadline-us="
                ;;
        status) options+=" --json" ;;
        selftest) options+=" --any-device" ;;
        bench)
                options+=" --scenario= --clients= --depth= --rate= --think-us= --shape= --workload= --seconds= --warmup="
                options+=" --output= --class= --deadline-us= --inline --own-b --verify --seed= --json --origin-table"
                ;;
        esac
        if [[ $cur == -* ]]; then
                _npumm_client_words "$options" "$cur"
                [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
        elif [ -z "$command" ]; then
                _npumm_client_words "matmul ping status bench set selftest" "$cur"
        elif [ "$command" = matmul ]; then
                _npumm_client_files .npy "$cur"
        elif [ "$command" = set ] && [ "$option" = set ]; then
                _npumm_client_words "policy= stacking= window-us=" "$cur"
                compopt -o nospace
        fi
}

complete -F _npumm_client npumm-client
