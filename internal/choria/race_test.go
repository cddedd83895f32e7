//go:build race

package choria

func init() { raceDetector = true }
