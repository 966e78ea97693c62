package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"time"
)

// The media types of the OCI image specification, version 1.1.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// user is who runs the binary: nobody that any machine knows.
const user = "65532:65532"

// file is one that goes into an image.
type file struct {
	name    string
	mode    int64
	content []byte
}

// layout is an OCI image layout on its way: blobs by their digest, and the images.
type layout struct {
	blobs  map[string][]byte
	images []descriptor
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

func newLayout() *layout { return &layout{blobs: map[string][]byte{}} }

// image adds an image of one layer with these files.
func (l *layout) image(system, processor, version string, files []file) error {
	var plain, packed bytes.Buffer
	if err := archive(&plain, files); err != nil {
		return err
	}
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(plain.Bytes()); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	config, err := l.json(typeConfig, map[string]any{
		"architecture": processor, "os": system,
		"config": map[string]any{
			"User": user, "Entrypoint": []string{"/popeye"}, "WorkingDir": "/",
			"ExposedPorts": map[string]any{"8080/tcp": struct{}{}, "9090/tcp": struct{}{}},
			"Labels": map[string]string{
				"org.opencontainers.image.title": "popeye", "org.opencontainers.image.version": version,
				"org.opencontainers.image.licenses": "Apache-2.0",
			},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(plain.Bytes())}},
	})
	if err != nil {
		return err
	}
	manifest, err := l.json(typeManifest, map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": config,
		"layers": []descriptor{l.blob(typeLayer, packed.Bytes())},
	})
	if err != nil {
		return err
	}
	manifest.Platform = &platform{Architecture: processor, OS: system}
	l.images = append(l.images, manifest)
	return nil
}

func (l *layout) json(mediaType string, value any) (descriptor, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return descriptor{}, fmt.Errorf("write %s: %w", mediaType, err)
	}
	return l.blob(mediaType, text), nil
}

func (l *layout) blob(mediaType string, content []byte) descriptor {
	d := digest(content)
	l.blobs[d] = content
	return descriptor{MediaType: mediaType, Digest: d, Size: len(content)}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// write writes everything as a tar, under the image's name.
func (l *layout) write(to io.Writer, name string) error {
	index, err := l.json(typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": l.images})
	if err != nil {
		return err
	}
	index.Annotations = map[string]string{
		"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name,
	}
	top, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []descriptor{index}})
	if err != nil {
		return err
	}
	files := []file{{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", 0o644, top}}
	for _, d := range slices.Sorted(maps.Keys(l.blobs)) {
		files = append(files, file{"blobs/sha256/" + d[len("sha256:"):], 0o644, l.blobs[d]})
	}
	return archive(to, files)
}

// archive writes files and the folders that they are in as a tar. Every file is
// root's and as old as time, so that the same files make the same bytes.
func archive(to io.Writer, files []file) error {
	w := tar.NewWriter(to)
	made := map[string]bool{}
	for _, f := range files {
		if err := folders(w, path.Dir(f.name), made); err != nil {
			return err
		}
		head := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(head); err != nil {
			return fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	return w.Close()
}

func folders(w *tar.Writer, name string, made map[string]bool) error {
	if name == "." || made[name] {
		return nil
	}
	if err := folders(w, path.Dir(name), made); err != nil {
		return err
	}
	made[name] = true
	return w.WriteHeader(&tar.Header{Name: name + "/", Mode: 0o755, Typeflag: tar.TypeDir, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
}
