//go:build race

package appliance_test

func init() { raceDetector = true }
