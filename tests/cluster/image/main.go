// Packs a folder as a container image in docker's archive format, which `ctr images import` reads:
//
//	image REF ROOT OUT.tar [--entrypoint JSON] [--cmd JSON] [--workdir DIR] [--env NAME=VALUE]...
//
// The image has one layer, owned by root, and no clock in it: the same folder gives the same image.
package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: image REF ROOT OUT.tar [--entrypoint JSON] [--cmd JSON] [--workdir DIR] [--env NAME=VALUE]...")
	}
	reference, root, out := args[0], args[1], args[2]
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	entrypoint := flags.String("entrypoint", "null", "command of the image, a JSON list")
	cmd := flags.String("cmd", "null", "arguments of the image, a JSON list")
	workdir := flags.String("workdir", "/", "working directory")
	env := list{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	flags.Var(&env, "env", "NAME=VALUE, may be repeated")
	if err := flags.Parse(args[3:]); err != nil {
		return err
	}

	layer, err := os.CreateTemp(filepath.Dir(out), "layer-*.tar")
	if err != nil {
		return err
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	digest := sha256.New()
	if err := writeLayer(io.MultiWriter(layer, digest), root); err != nil {
		return err
	}
	diffID := hex.EncodeToString(digest.Sum(nil))

	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config": map[string]any{
			"Entrypoint": json.RawMessage(*entrypoint), "Cmd": json.RawMessage(*cmd), "WorkingDir": *workdir, "Env": env,
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + diffID}},
		"history": []any{map[string]string{"created": "1970-01-01T00:00:00Z"}},
	})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(config)
	configName := hex.EncodeToString(sum[:]) + ".json"
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": configName, "RepoTags": []string{reference}, "Layers": []string{diffID + "/layer.tar"},
	}})
	if err != nil {
		return err
	}

	file, err := os.Create(out)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(file)
	size, err := layer.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for _, entry := range []struct {
		name string
		size int64
		data io.Reader
	}{
		{configName, int64(len(config)), strings.NewReader(string(config))},
		{diffID + "/layer.tar", size, layer},
		{"manifest.json", int64(len(manifest)), strings.NewReader(string(manifest))},
	} {
		if err := archive.WriteHeader(&tar.Header{Name: entry.name, Mode: 0o644, Size: entry.size}); err != nil {
			return err
		}
		if _, err := io.Copy(archive, entry.data); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), file.Close())
}

func writeLayer(w io.Writer, root string) error {
	layer := tar.NewWriter(w)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		kept, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: kept.Typeflag, Name: name, Linkname: target, Mode: kept.Mode, Size: kept.Size}
		if entry.IsDir() {
			header.Name += "/"
		}
		if err := layer.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(layer, file)
		return err
	})
	return errors.Join(err, layer.Close())
}
