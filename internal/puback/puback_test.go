package puback

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/muster-appliance/muster/internal/contract"
)

func TestParse(t *testing.T) {
	apiError := func(code, errCode int) string {
		return fmt.Sprintf(`{"error":{"code":%d,"err_code":%d,"description":"x"},"stream":"S","seq":0}`, code, errCode)
	}
	for name, test := range map[string]struct {
		data   string
		status string
		stored bool
		retry  bool
		reason string
	}{
		"stored":                 {data: `{"stream":"S","seq":12}`, stored: true},
		"duplicate":              {data: `{"stream":"S","seq":12,"duplicate":true}`, stored: true},
		"no responders":          {status: "503", retry: true},
		"insufficient resources": {data: apiError(503, 10023), retry: true},
		"a limit is reached":     {data: apiError(503, 10077), retry: true},
		"too many requests":      {data: apiError(429, 10167), retry: true},
		"account is full":        {data: apiError(400, 10002), retry: true},
		"still in process":       {data: apiError(409, 10158), retry: true},
		"too large":              {data: apiError(400, 10054), reason: contract.ReasonTooLarge},
		"sealed":                 {data: apiError(400, 10109), reason: contract.ReasonRefused},
		"wrong sequence":         {data: apiError(400, 10071), reason: contract.ReasonRefused},
		"not JSON":               {data: `thanks`, reason: contract.ReasonRefused},
		"empty":                  {data: ``, reason: contract.ReasonRefused},
		"names no stream":        {data: `{}`, reason: contract.ReasonRefused},
	} {
		t.Run(name, func(t *testing.T) {
			ack := Parse(test.status, []byte(test.data))
			if ack.InStream() != test.stored || ack.Retryable() != test.retry {
				t.Errorf("stored %v, retryable %v", ack.InStream(), ack.Retryable())
			}
			if test.reason != "" && (ack.Reason() != test.reason || ack.Detail() == "") {
				t.Errorf("reason %s, detail %q", ack.Reason(), ack.Detail())
			}
		})
	}
}

func TestAck_WithoutAck(t *testing.T) {
	for err, retry := range map[error]bool{ErrNoAck: true, errors.New("connection closed"): true, ErrTooLarge: false} {
		t.Run(err.Error(), func(t *testing.T) {
			if ack := (Ack{Err: err}); ack.InStream() || ack.Retryable() != retry {
				t.Errorf("stored %v, retryable %v", ack.InStream(), ack.Retryable())
			}
		})
	}
	if ack := (Ack{Err: ErrTooLarge}); ack.Reason() != contract.ReasonTooLarge {
		t.Errorf("reason %s", ack.Reason())
	}
}

func TestParsePlain_AgreesWithJSON(t *testing.T) {
	for text, plain := range map[string]bool{
		`{"stream":"CHORIA_REGISTRATION","seq":1}`:                     true,
		`{"stream":"S","seq":18446744073709551615}`:                    true,
		`{"stream":"S","seq":1,"duplicate":true}`:                      false,
		`{"stream":"S","domain":"hub","seq":1}`:                        false,
		`{"stream":"S", "seq":1}`:                                      false,
		`{"stream":"","seq":1}`:                                        false,
		`{"stream":"a\"b","seq":1}`:                                    false,
		`{"stream":"S","seq":-1}`:                                      false,
		`{"stream":"S","seq":}`:                                        false,
		`{"error":{"code":503,"err_code":10077},"stream":"S","seq":0}`: false,
		``: false,
	} {
		t.Run(text, func(t *testing.T) {
			stream, sequence, ok := parsePlain([]byte(text))
			if ok != plain {
				t.Errorf("plain is %v", ok)
			}
			if !ok {
				return
			}
			var want Ack
			err := json.Unmarshal([]byte(text), &want)
			if err != nil || want.Stream != stream || want.Sequence != sequence || want.Duplicate || want.Error != nil {
				t.Errorf("have %s %d, want %+v, %v", stream, sequence, want, err)
			}
		})
	}
}
