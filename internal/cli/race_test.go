//go:build race

package cli

func init() {
	raceDetector = true
	recordOften = "[jetstream]\nsync_interval = '500ms'\n"
}
