# Shortcuts. "go build" builds the program, "go test ./..." tests it.

.PHONY: package check clean

package: # build everything that is released, into dist/
	packaging/build

check: # run the gate, as before a change lands
	.ci/run

clean:
	rm -rf build dist
