package app

import (
	"context"
	"errors"

	"popeye/internal/config"
)

func castLoad(context.Context, Process, config.Load) error { return errors.New("to come") }
