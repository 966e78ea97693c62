// Command image builds Popeye for several processors and packs it as one image,
// in a file that "kind load image-archive", containerd and skopeo take: an OCI image
// layout (https://github.com/opencontainers/image-spec) as a tar. It needs no Docker,
// and the same source makes the same bytes.
package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// settings are what the flags say.
type settings struct {
	name, version, out, sbom, platforms, certificates string
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.name, "name", "docker.io/library/popeye:dev", "full name of the image, with its tag")
	flags.StringVar(&s.version, "version", "dev", "version that the binary tells")
	flags.StringVar(&s.out, "o", "dist/popeye-image.tar", "file to write")
	flags.StringVar(&s.sbom, "sbom", "", "file for the list of all modules in it, as SPDX; it is in the image, too")
	flags.StringVar(&s.platforms, "platforms", "linux/amd64,linux/arm64", "systems and processors, separated by commas")
	flags.StringVar(&s.certificates, "certificates", "/etc/ssl/certs/ca-certificates.crt", "certificate authorities to put in, if the file is there")
	return s, flags.Parse(args)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if _, tag, ok := strings.Cut(filepath.Base(s.name), ":"); !ok || tag == "" {
		return fmt.Errorf("the name %q has no tag", s.name)
	}
	dir, err := os.MkdirTemp("", "popeye-image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l := newLayout()
	var list []byte
	for platform := range strings.SplitSeq(s.platforms, ",") {
		if list, err = s.add(ctx, l, dir, platform); err != nil {
			return fmt.Errorf("for %s: %w", platform, err)
		}
	}
	if s.sbom != "" {
		if err := put(s.sbom, list); err != nil {
			return err
		}
	}
	var file bytes.Buffer
	if err := l.write(&file, s.name); err != nil {
		return err
	}
	if err := put(s.out, file.Bytes()); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %s for %s, %.1f MB\n", s.out, s.name, s.platforms, float64(file.Len())/1e6)
	return nil
}

// put writes a file, and makes the folder that it is in.
func put(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // what is built is no secret
		return err
	}
	return os.WriteFile(name, content, 0o644) //nolint:gosec // as above
}

// add builds for one platform and adds that to the layout. It returns the list of
// the modules in it.
func (s settings) add(ctx context.Context, l *layout, dir, platform string) ([]byte, error) {
	system, processor, ok := strings.Cut(platform, "/")
	if !ok {
		return nil, errors.New("a platform is a system and a processor, such as linux/arm64")
	}
	binary := filepath.Join(dir, system+"-"+processor)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", //nolint:gosec // the platform is the caller's own
		"-ldflags", "-s -w -X main.version="+s.version, "-o", binary, "./cmd/popeye")
	build.Env = append(build.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+processor)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, fmt.Errorf("read what is in the binary: %w", err)
	}
	list, err := sbom(info, s.version)
	if err != nil {
		return nil, err
	}
	files := []file{{"popeye", 0o755, program}, {"popeye.spdx.json", 0o644, list}}
	authorities, err := os.ReadFile(s.certificates)
	switch {
	case err == nil:
		files = append(files, file{"etc/ssl/certs/ca-certificates.crt", 0o644, authorities})
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	return list, l.image(system, processor, s.version, files)
}
