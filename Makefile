# What is made besides the program itself; "go build" makes that, "go test ./..." tests it.

.PHONY: package check clean

package: # everything that is released, into dist/
	packaging/build

check: # the gate
	.ci/run

clean:
	rm -rf build dist
