package app_test

import (
	"testing"

	"popeye/internal/lab/labtest"
)

func TestMain(m *testing.M) { labtest.Main(m) }
