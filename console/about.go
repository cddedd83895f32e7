package console

// About describes the process at /choria/, in the form of Choria's broker.
type About struct {
	Build      Build  `json:"build"`
	System     System `json:"system"`
	ConfigFile string `json:"config_file"` // empty: none
	Identity   string `json:"identity"`

	Listeners map[string]string `json:"listeners,omitempty"` // URLs by name; not in Choria's
}

// Build describes the program, and the settings that are fixed when Choria is built.
type Build struct {
	Version    string `json:"version"`
	SHA        string `json:"sha"`
	BuildDate  string `json:"build_date"`
	License    string `json:"license"`
	TLS        bool   `json:"tls"`    // nodes connect over TLS
	Secure     bool   `json:"secure"` // messages can be verified
	Go         string `json:"go"`
	MaxClients int64  `json:"max_broker_clients"`
}

// System is what the process uses of the machine.
type System struct {
	RSS   int64   `json:"rss"`         // resident memory in bytes
	CPU   float64 `json:"cpu_percent"` // of one core
	Cores int     `json:"cpu_cores"`
}
