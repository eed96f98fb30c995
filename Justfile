# Every recipe runs in the project's own environment, `.venv` beside this file, activated or not.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

root := justfile_directory()
bin := root / ".venv/bin"
python := bin / "python"

# The contract and what decides are covered whole.
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

# (Two files at a time, since most of a test's time is some process's start.)
# all tests but the long ones; arguments go to pytest
test *arguments:
    "{{ python }}" -m pytest -n 2 --dist loadfile "$@"

# (Without the faults, which break the files of the measurement as well, and without the tests of what an import costs,
# since a measured process imports what measures it.)
# branch coverage of every process: all of the contract and the core, nine tenths of the rest
cover *arguments:
    "{{ python }}" -m coverage erase
    "{{ python }}" -m coverage run -m pytest tests/unit tests/contract --ignore=tests/contract/clients/test_import_cost.py "$@"
    "{{ python }}" -m coverage combine --quiet
    "{{ python }}" -m coverage report --include="{{ covered_whole }}" --fail-under=100
    "{{ python }}" -m coverage report --omit="{{ covered_whole }}" --fail-under=90

# the real agents that the tests run (Claude Code, Codex, Gemini CLI), by npm: 900 MB, outside this folder
agents *arguments:
    "{{ python }}" tests/agents/install.py "$@"

# the whole post office at work, in a scratch directory
demo:
    "{{ bin }}/maestro" demo

# the figures, beside what the machine itself can do; `just bench --help`
bench *arguments:
    "{{ python }}" tests/bench/run.py "$@"

# kill it, starve it, corrupt its disk; `--long` also runs the tests that take minutes
fault *arguments:
    given=(); for word in "$@"; do if [ "$word" = --long ]; then given+=(-m "long or not long"); else given+=("$word"); fi; done; \
    "{{ python }}" -m pytest tests/fault "${given[@]}"

# write the JSON Schema files, the golden vectors and the table of the fast path again
schemas:
    "{{ python }}" -m maestro_schemas.generators.json_schema
    "{{ python }}" schemas/golden/regenerate.py
    "{{ python }}" -m maestro_cli.fast_table_writer
