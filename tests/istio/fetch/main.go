// Fetch serves an image from a registry on loopback, and fetches its module with the code of Istio's agent.
//
//	fetch LAYOUT CHECKSUM
//
// It prints the image's digest and layers, and the module's checksum.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"istio.io/istio/pkg/util/sets"
	"istio.io/istio/pkg/wasm"
)

func main() {
	if err := fetch(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func fetch(folder, checksum string) error {
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return err
	}
	// httptest listens on 127.0.0.1.
	server := httptest.NewServer(registry.New())
	defer server.Close()
	reference, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/pinion:test")
	if err != nil {
		return err
	}
	if err := remote.Write(reference, image); err != nil {
		return err
	}
	home, err := os.MkdirTemp("", "pinion-fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	options := wasm.Options{
		ModuleExpiry:          wasm.DefaultModuleExpiry,
		PurgeInterval:         wasm.DefaultPurgeInterval,
		HTTPRequestTimeout:    30 * time.Second,
		HTTPRequestMaxRetries: 1,
		InsecureRegistries:    sets.New("*"),
	}
	cache := wasm.NewLocalFileCache(home, options)
	defer cache.Cleanup()
	module, err := cache.Get("oci://"+reference.Name(), wasm.GetOptions{
		Checksum:       checksum,
		RequestTimeout: 30 * time.Second,
		PullPolicy:     wasm.IfNotPresent,
	})
	if err != nil {
		return err
	}
	content, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	last, err := layers[len(layers)-1].MediaType()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"digest":    digest.Hex,
		"layers":    len(layers),
		"lastLayer": last,
		"module":    fmt.Sprintf("%x", sha256.Sum256(content)),
	})
}
