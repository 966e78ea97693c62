package memory_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"popeye"
	"popeye/internal/belltest"
	"popeye/internal/memory"
)

func TestBell(t *testing.T) {
	belltest.Run(t, func(*testing.T) belltest.Bell { return memory.NewBell() })
}

func TestBellIsHeardBeforeRingReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.NewBell()
		ctx, cancel := context.WithCancel(t.Context())
		var listening sync.WaitGroup
		var heard []string
		listening.Go(func() {
			if err := b.Listen(ctx, func(p string) { heard = append(heard, p) }); err != nil {
				t.Errorf("listen: %v", err)
			}
		})
		synctest.Wait()
		if err := b.Ring(ctx, "cats", "dogs"); err != nil {
			t.Errorf("ring: %v", err)
		}
		if !slices.Equal(heard, []string{popeye.EveryPoll, "cats", "dogs"}) {
			t.Errorf("heard %v before Ring returned, want both", heard)
		}
		cancel()
		listening.Wait()
	})
}
