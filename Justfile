# Every recipe runs in the project's own environment, `.venv` beside this file, activated or not.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

root := justfile_directory()
bin := root / ".venv/bin"
python := bin / "python"

# The contract and the core are covered completely.
covered_whole := "*/maestro_schemas/*,*/maestro_broker/core/*"

# lint, types, imports, tests: what must pass before a change is handed in
default: lint types imports test

# make or refresh .venv
setup:
    python3 -m venv .venv
    "{{ python }}" -m pip install --quiet -e '.[dev]'

# ruff's rules and its formatting
lint:
    "{{ bin }}/ruff" check
    "{{ bin }}/ruff" format --check

# mypy --strict, tests too
types:
    "{{ bin }}/mypy"

# which package may import which
imports:
    "{{ bin }}/lint-imports"

# lint, and the unit tests that take no seconds each: the inner loop, under a minute
quick *arguments: lint
    "{{ python }}" -m pytest tests/unit -n 2 --dist loadfile -m "not long and not slow" "$@"

# (Two files at a time, since the start of processes takes most of a test's time.)
# unit, contract and fault tests but the long ones; arguments go to pytest (`just test tests/agents`, `tests/bench`)
test *arguments:
    "{{ python }}" -m pytest -n 2 --dist loadfile "$@"

# (Without the fault tests, which would break the measurement's own files, and without the tests of import cost, since
# a measured process also imports the tool that measures it.)
# branch coverage of every process: all of the contract and the core, nine tenths of the rest
cover *arguments:
    "{{ python }}" -m coverage erase
    "{{ python }}" -m coverage run -m pytest tests/unit tests/contract --ignore=tests/contract/clients/test_import_cost.py "$@"
    "{{ python }}" -m coverage combine --quiet
    "{{ python }}" -m coverage report --include="{{ covered_whole }}" --fail-under=100
    "{{ python }}" -m coverage report --omit="{{ covered_whole }}" --fail-under=90

# (Claude Code, Codex, Gemini CLI, Qwen Code and OpenCode, 1.2 GB outside this folder: MAESTRO_AGENTS_DIR.)
# install the real agents by npm and run one test for each mechanism; `--all` runs all their tests
agents *arguments:
    "{{ python }}" tests/agents/install.py
    given=(-m mechanism); for word in "$@"; do if [ "$word" = --all ]; then given=("${given[@]:2}"); else given+=("$word"); fi; done; \
    "{{ python }}" -m pytest tests/agents -n 2 "${given[@]}"

# (In Debian's Chromium, with a type checker, a linter and axe-core that npm installs outside this folder.)
# the tests of the page; `--all` also every size and theme for axe-core
web *arguments:
    "{{ python }}" tests/web/install.py
    given=(); for word in "$@"; do if [ "$word" = --all ]; then given+=(-m "long or not long"); else given+=("$word"); fi; done; \
    "{{ python }}" -m pytest tests/web -n 2 --dist loadfile "${given[@]}"

# (In build/docs; open build/docs/docs/README.html, no server is needed. A warning, such as a dead link, is an error.)
# make a site with a search from the documents
docs:
    "{{ python }}" -m sphinx --builder html --conf-dir docs/site --doctree-dir build/doctrees --fail-on-warning --keep-going --quiet "{{ root }}" build/docs

# show the product at work, in a scratch directory
demo:
    "{{ bin }}/maestro" demo

# (`--only house --against PATH` compares with another checkout, in turns; `--check` runs the benchmark's own tests.)
# the figures, beside what the machine itself can do; `just bench --help`
bench *arguments:
    if [ "${1:-}" = --check ]; then shift; "{{ python }}" -m pytest tests/bench "$@"; else "{{ python }}" tests/bench/run.py "$@"; fi

# kill it, starve it, corrupt its disk; `--long` also runs the tests that take minutes
fault *arguments:
    given=(); for word in "$@"; do if [ "$word" = --long ]; then given+=(-m "long or not long"); else given+=("$word"); fi; done; \
    "{{ python }}" -m pytest tests/fault "${given[@]}"

# (From the real page, with Debian's Chromium and libfaketime.)
# take the page's pictures for the documentation again
pictures:
    PYTHONPATH=tests "{{ python }}" tests/web/pictures.py

# (With the real Claude Code: `just agents` installs it.)
# record the first minute again, as docs/pictures/first-minute.svg
cast:
    PYTHONPATH=tests "{{ python }}" -m agents.cast

# (In a real tmux, drawn by Debian's Chromium; `just terminal --help`.)
# pictures of commands in a terminal, at several widths, light and dark, with 1, 12 or 200 sessions
terminal *arguments:
    PYTHONPATH=tests "{{ python }}" -m support.terminal_pictures "$@"

# build what is published, the wheel and the sdist, into dist/
dist:
    rm -rf "{{ root }}/dist"
    "{{ python }}" -m hatchling build

# write the JSON Schema files, the golden vectors, the table of the fast path and that of `--json` again
schemas:
    "{{ python }}" -m maestro_schemas.generators.json_schema
    "{{ python }}" schemas/golden/regenerate.py
    "{{ python }}" -m maestro_cli.fast_table_writer
    "{{ python }}" -m maestro_cli.shapes.shape_writer
