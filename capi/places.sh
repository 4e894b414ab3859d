# Where `install` and `uninstall` put things, from their argument and the environment: $prefix as programs will see it, $into as it
# is now, and below either $lib, $include, $bin and $doc.

if [ $# -ne 1 ]; then set -- ''; fi
case $1 in
    '' | -*) echo "usage: $0 PREFIX" >&2; exit 2 ;;
    /) prefix= ;;
    /*) prefix=${1%/} ;;
    *) prefix=$PWD/${1%/} ;;
esac
# These a file for pkg-config cannot express, nor a link line made of it. Blanks are escaped there.
odd=$(printf '%s' "$prefix${LIBDIR-}${INCLUDEDIR-}${BINDIR-}${DOCDIR-}" | LC_ALL=C tr -cd "\001-\037\"\$&'()*;<>?[\\\\]{|}!#\`" && echo .)
if [ "$odd" != . ]; then
    echo "$0: the prefix and the folders below it must not contain ${odd%.}, nor any other sign that a shell reads" >&2
    exit 2
fi
into=${DESTDIR-}$prefix

# The folder that variable $1 names, relative to the prefix, in $folder; $2 if it names none.
place() {
    eval "folder=\${$1:-$2}"
    case $folder in
        "$prefix"/*) folder=${folder#"$prefix"/} ;;
        /*) echo "$0: $1 is $folder, which is not under $prefix" >&2; exit 2 ;;
    esac
    folder=${folder%/}
}
place LIBDIR lib; lib=$folder
place INCLUDEDIR include; include=$folder
place BINDIR bin; bin=$folder
place DOCDIR share/doc/hmalloc; doc=$folder
