package worker

import (
	"context"
	"time"
)

const (
	// certifyEvery is the least pause between two beginnings to certify, and
	// certifyWithin what one may take: it reads every vote of a round.
	certifyEvery  = 3 * time.Second
	certifyWithin = 10 * time.Minute
)

// keepCertified has final rounds certified when there are new ones, until ctx is
// done. Nothing waits for it.
func (w *Worker) keepCertified(ctx context.Context) {
	var retry backoff
	for {
		select {
		case <-w.ended:
		case <-ctx.Done():
			return
		}
		err := w.certify(ctx)
		if err != nil {
			w.ended.give()
		}
		wait(ctx, max(retry.after(err), certifyEvery))
	}
}

func (w *Worker) certify(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, certifyWithin)
	defer cancel()
	err := w.Recorder.Certify(within)
	if err != nil && ctx.Err() == nil {
		w.failed(ctx, opCertify, "", err)
	}
	return err
}
