//go:build race

package appliance_test

func init() {
	raceDetector = true
	recordOften = "[jetstream]\nsync_interval = '500ms'\n"
}
