package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// MaxBody is the greatest size of a request's body in bytes.
const MaxBody = 64 << 10

// ReadBody returns the body of r, which must be of the given media type. It
// looks at the size first: whatever is over MaxBody is too large, not wrong.
func ReadBody(w http.ResponseWriter, r *http.Request, mediaType string) ([]byte, error) {
	if r.ContentLength > MaxBody {
		// Nobody waits for the rest of it.
		w.Header().Set("Connection", "close")
		return nil, &http.MaxBytesError{Limit: MaxBody}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, err
		}
		return nil, NewProblem(http.StatusBadRequest, "The body could not be read to its end.")
	}
	given, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || given != mediaType || !isUTF8(params["charset"]) {
		return nil, NewProblem(http.StatusUnsupportedMediaType, "Send Content-Type: "+mediaType+".")
	}
	return body, nil
}

func isUTF8(charset string) bool {
	return charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

// ReadForm returns the fields of a form that was sent urlencoded.
func ReadForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	body, err := ReadBody(w, r, "application/x-www-form-urlencoded")
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, NewProblem(http.StatusBadRequest, "The form is not properly encoded, or has too many fields.")
	}
	return form, nil
}

// ReadJSON reads the body of r into v. Members that v does not have are refused
// when strict, and skipped otherwise.
func ReadJSON(w http.ResponseWriter, r *http.Request, v any, strict bool) error {
	body, err := ReadBody(w, r, "application/json")
	if err != nil {
		return err
	}
	return DecodeJSON(body, v, strict)
}

// DecodeJSON reads text, one JSON value, into v, as ReadJSON does.
func DecodeJSON(text []byte, v any, strict bool) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if strict {
		decoder.DisallowUnknownFields()
	}
	if err := decoder.Decode(v); err != nil {
		return NewProblem(http.StatusBadRequest, "The body is not the JSON that is expected: "+jsonReason(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return NewProblem(http.StatusBadRequest, "There is something behind the JSON value.")
	}
	return nil
}

// jsonReason tells what is wrong with the text without repeating the text.
func jsonReason(err error) string {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early."
	case errors.As(err, &wrongType):
		return "a " + wrongType.Value + " stands where it cannot, at byte " + strconv.FormatInt(wrongType.Offset, 10) + "."
	default:
		return err.Error() + "."
	}
}
