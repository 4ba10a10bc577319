#!/bin/sh
# sphinx-exercise: with the extension loaded, other extensions' nodes are unknown to the builder singlehtml. It registers
# visitors under the name "singlehtml", and Sphinx then no longer falls back to those registered for "html".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder/packages" \
    sphinx==7.4.7 sphinx-design==0.6.1 sphinx-exercise==1.2.1
mkdir "$folder/book"
printf 'Title\n=====\n\n.. dropdown:: More\n\n   Text.\n' > "$folder/book/index.rst"
for extensions in '"sphinx_design"' '"sphinx_design", "sphinx_exercise"'; do
    for builder in html singlehtml; do
        echo "extensions = [$extensions]" > "$folder/book/conf.py"
        PYTHONPATH="$folder/packages" "${PYTHON:-python3}" -m sphinx -q -E -b $builder "$folder/book" "$folder/out" \
            > "$folder/log" 2>&1 && seen=built || seen=$(grep -o 'unknown node type: [a-z_]*' "$folder/log" | tail -n 1)
        echo "seen: [$extensions], $builder: $seen"
    done
done
echo "right: built, four times"
[ "$seen" = "unknown node type: dropdown_title" ] || { echo "the behaviour has changed" >&2; exit 1; }
