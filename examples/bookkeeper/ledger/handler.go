package ledger

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

const maxBody = 1 << 20

// Stats counts what is recorded (ground truth, kept over restarts) and what
// was asked since the start.
type Stats struct {
	Bills      int `json:"bills"`
	Keys       int `json:"keys"`
	Duplicates int `json:"duplicates"`

	Suppliers    int64 `json:"requests_suppliers"`
	Creations    int64 `json:"requests_create"`
	Lists        int64 `json:"requests_list"`
	Gets         int64 `json:"requests_get"`
	Unauthorized int64 `json:"requests_unauthorized"`
	Created      int64 `json:"created"`
	Repeated     int64 `json:"repeated"`
	Faulted      int64 `json:"faulted"`
	// Stalled is how many creations wait on order at this moment.
	Stalled int64 `json:"stalled"`
}

type handler struct {
	book   *book
	faults *faults
	token  [sha256.Size]byte

	suppliers, creating, lists, gets, unauthorized atomic.Int64
	created, repeated, faulted, stalled            atomic.Int64
}

func newHandler(b *book, f *faults, token string) *handler {
	return &handler{book: b, faults: f, token: sha256.Sum256([]byte(token))}
}

func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /suppliers", h.listSuppliers)
	mux.HandleFunc("POST /bills", h.createBill)
	mux.HandleFunc("GET /bills", h.listBills)
	mux.HandleFunc("GET /bills/{number}", h.getBill)
	mux.HandleFunc("POST /control", h.control)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, h.stats()) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.authorized(r) {
			h.unauthorized.Add(1)
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem(w, http.StatusUnauthorized, "", "a valid Bearer token is required")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (h *handler) authorized(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(token))
	return ok && subtle.ConstantTimeCompare(sum[:], h.token[:]) == 1
}

func (h *handler) stats() Stats {
	s := Stats{
		Suppliers: h.suppliers.Load(), Creations: h.creating.Load(), Lists: h.lists.Load(), Gets: h.gets.Load(),
		Unauthorized: h.unauthorized.Load(), Created: h.created.Load(), Repeated: h.repeated.Load(),
		Faulted: h.faulted.Load(), Stalled: h.stalled.Load(),
	}
	s.Bills, s.Keys, s.Duplicates = h.book.truth()
	return s
}

func (h *handler) listSuppliers(w http.ResponseWriter, r *http.Request) {
	h.suppliers.Add(1)
	name := r.URL.Query().Get("name")
	found := []Supplier{}
	for _, s := range Suppliers() {
		if name == "" || strings.EqualFold(name, s.Name) {
			found = append(found, s)
		}
	}
	answer(w, http.StatusOK, map[string]any{"suppliers": found})
}

func (h *handler) createBill(w http.ResponseWriter, r *http.Request) {
	h.creating.Add(1)
	key := ""
	if h.book.mode == Keys {
		if key = r.Header.Get("Idempotency-Key"); key == "" || len(key) > 255 {
			problem(w, http.StatusBadRequest, "", "an Idempotency-Key of at most 255 bytes is required")
			return
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		problem(w, http.StatusRequestEntityTooLarge, "", "the body could not be read whole, or is over 1 MiB")
		return
	}
	var draft Draft
	if err := decode(body, &draft); err != nil {
		problem(w, http.StatusUnprocessableEntity, "", "the body is not a bill: "+err.Error())
		return
	}
	if pointer, detail := draft.check(); detail != "" {
		problem(w, http.StatusUnprocessableEntity, pointer, detail)
		return
	}
	digest := sha256.Sum256(body)
	h.create(w, key, hex.EncodeToString(digest[:]), draft)
}

func (h *handler) create(w http.ResponseWriter, key, digest string, draft Draft) {
	defer h.book.enter(key)()
	bill, found, err := h.book.find(key, digest)
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, "", err.Error())
		return
	}
	fault := h.faults.take()
	if fault != nil && fault.When == Before && h.strike(w, fault) {
		return
	}
	status := http.StatusOK
	if found {
		h.repeated.Add(1)
	} else {
		if bill, err = h.book.record(key, digest, draft); err != nil {
			problem(w, http.StatusInternalServerError, "", "the bill could not be recorded")
			return
		}
		h.created.Add(1)
		status = http.StatusCreated
	}
	if fault != nil && fault.When == After && h.strike(w, fault) {
		return
	}
	w.Header().Set("Location", "/bills/"+bill.Number)
	answer(w, status, bill)
}

// strike shows a fault; true says that the request has its answer.
func (h *handler) strike(w http.ResponseWriter, fault *Control) bool {
	h.faulted.Add(1)
	h.stalled.Add(1)
	h.faults.stall(fault)
	h.stalled.Add(-1)
	if fault.Drop {
		panic(http.ErrAbortHandler) // the documented way to close a connection without an answer
	}
	if fault.Fail != 0 {
		if fault.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(fault.RetryAfter))
		}
		problem(w, fault.Fail, "", "failing as ordered")
		return true
	}
	return false
}

func (h *handler) listBills(w http.ResponseWriter, r *http.Request) {
	h.lists.Add(1)
	order := r.URL.Query().Get("order")
	if order != "" && h.book.mode == None {
		problem(w, http.StatusBadRequest, "", "bills cannot be searched here")
		return
	}
	bills := h.book.list(order)
	answer(w, http.StatusOK, map[string]any{"bills": bills, "count": len(bills)})
}

func (h *handler) getBill(w http.ResponseWriter, r *http.Request) {
	h.gets.Add(1)
	bill, found := h.book.get(r.PathValue("number"))
	if !found {
		problem(w, http.StatusNotFound, "", "no such bill")
		return
	}
	answer(w, http.StatusOK, bill)
}

func (h *handler) control(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var c Control
	if err == nil {
		err = decode(body, &c)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		problem(w, http.StatusBadRequest, "", err.Error())
		return
	}
	h.faults.set(c)
	answer(w, http.StatusOK, c)
}

func decode(body []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

func answer(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "internal", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that is gone gets no answer; the bill is recorded
}

func problem(w http.ResponseWriter, status int, pointer, detail string) {
	value := map[string]any{"status": status, "title": http.StatusText(status), "detail": detail}
	if pointer != "" {
		value["pointer"] = pointer
	}
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "internal", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // as above
}
