# The two commands of the README: `make demo` and `make test`. Everything else is CMake (see CMakePresets.json).
PREFIX ?= /usr/local
PRESET ?= release

.PHONY: demo test build packages install format tidy clean

# The program alone: the tests take longer to build than it does.
demo: packages
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) --target lowkey
	build/$(PRESET)/bin/lowkey demo

test: build
	ctest --preset $(PRESET)

build: packages
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET)

packages:
	scripts/install-packages.sh

# Without debug information, which is nine tenths of the program.
install: build
	cmake --install build/$(PRESET) --prefix $(PREFIX) --strip

format:
	scripts/install-packages.sh check
	git ls-files '*.h' '*.cpp' '*.inl' | xargs clang-format -i

tidy: build
	scripts/install-packages.sh check
	git ls-files 'src/*.cpp' | grep -v '^src/kernels/kernels_' | xargs -P 2 -n 4 clang-tidy -p build/$(PRESET) --quiet

clean:
	rm -rf build
