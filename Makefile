# The two commands of the README: `make demo` and `make test`. Everything else is CMake (see CMakePresets.json).
PREFIX ?= /usr/local
PRESET ?= release

.PHONY: demo test build packages install format clean

demo: build
	build/$(PRESET)/bin/lowkey demo

test: build
	ctest --preset $(PRESET)

build: packages
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET)

packages:
	scripts/install-packages.sh

install: build
	cmake --install build/$(PRESET) --prefix $(PREFIX)

format:
	git ls-files '*.h' '*.cpp' '*.inl' | xargs clang-format -i

clean:
	rm -rf build
