package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

// unpack returns the files of a tar.
func unpack(t *testing.T, from io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(from); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[head.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// blob returns what a descriptor stands for, in v.
func blob(t *testing.T, files map[string][]byte, d descriptor, v any) {
	t.Helper()
	content := files["blobs/sha256/"+d.Digest[len("sha256:"):]]
	if len(content) != d.Size || digest(content) != d.Digest {
		t.Fatalf("%s has %d bytes with the digest %s", d.Digest, len(content), digest(content))
	}
	if err := json.Unmarshal(content, v); err != nil {
		t.Fatal(err)
	}
}

func packed(t *testing.T) []byte {
	t.Helper()
	l := newLayout()
	for _, processor := range []string{"amd64", "arm64"} {
		if err := l.image("linux", processor, "v1", []file{{"popeye", 0o755, []byte("for " + processor)}, {"etc/ssl/x", 0o644, []byte("x")}}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := l.write(&out, "docker.io/library/popeye:0.1.0"); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAnImageHasItsNameAndAProgramForEachProcessor(t *testing.T) {
	type index struct{ Manifests []descriptor }
	files := unpack(t, bytes.NewReader(packed(t)))
	var top, platforms index
	if err := json.Unmarshal(files["index.json"], &top); err != nil || len(top.Manifests) != 1 {
		t.Fatalf("index.json is %s, %v", files["index.json"], err)
	}
	if name := top.Manifests[0].Annotations["io.containerd.image.name"]; name != "docker.io/library/popeye:0.1.0" {
		t.Errorf("its name is %q", name)
	}
	blob(t, files, top.Manifests[0], &platforms)
	if len(platforms.Manifests) != 2 {
		t.Fatalf("it is for %d processors, want 2", len(platforms.Manifests))
	}
	for _, m := range platforms.Manifests {
		var manifest struct {
			Config descriptor
			Layers []descriptor
		}
		var config struct {
			Architecture string
			Config       struct{ User string }
			RootFS       struct {
				DiffIDs []string `json:"diff_ids"`
			}
		}
		blob(t, files, m, &manifest)
		blob(t, files, manifest.Config, &config)
		if config.Architecture != m.Platform.Architecture || config.Config.User != user {
			t.Errorf("for %s it says %+v", m.Platform.Architecture, config)
		}
		zip, err := gzip.NewReader(bytes.NewReader(files["blobs/sha256/"+manifest.Layers[0].Digest[len("sha256:"):]]))
		if err != nil {
			t.Fatal(err)
		}
		layer, err := io.ReadAll(zip)
		if err != nil {
			t.Fatal(err)
		}
		if digest(layer) != config.RootFS.DiffIDs[0] {
			t.Error("the layer is not the one of the configuration")
		}
		if got := string(unpack(t, bytes.NewReader(layer))["popeye"]); got != "for "+m.Platform.Architecture {
			t.Errorf("for %s the program is %q", m.Platform.Architecture, got)
		}
	}
}

func TestTheSameFilesMakeTheSameBytes(t *testing.T) {
	if !bytes.Equal(packed(t), packed(t)) {
		t.Error("two images of the same files differ")
	}
}

func TestTheListOfModulesNamesEachWithItsVersion(t *testing.T) {
	text, err := sbom(&debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
		{Path: "example.org/a", Version: "v1.0.0"},
		{Path: "example.org/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/c", Version: "v2.0.0"}},
	}}, "v1")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Packages []struct {
			Name    string
			Version string `json:"versionInfo"`
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range list.Packages {
		got[p.Name] = p.Version
	}
	for name, version := range map[string]string{"popeye": "v1", "stdlib": "1.26.8", "example.org/a": "v1.0.0", "example.org/c": "v2.0.0"} {
		if got[name] != version {
			t.Errorf("%s is listed with version %q, want %q", name, got[name], version)
		}
	}
}

func TestAFileIsWrittenWhereNoFolderIsYet(t *testing.T) {
	name := filepath.Join(t.TempDir(), "not", "there", "file")
	if err := put(name, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "x" {
		t.Errorf("it holds %q, %v", text, err)
	}
}
