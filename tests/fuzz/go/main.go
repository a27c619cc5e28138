// What Helm and Kustomize read in a YAML file, for the fuzz target `manifest`.
//
// Helm, kubectl and Argo CD read with sigs.k8s.io/yaml, Kustomize with kyaml. On standard input come files, each after its
// length in four bytes, the highest first. On standard output goes one line of JSON for each.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// Of each reader the error or what was read.
type answer struct {
	HelmError      string  `json:"helm_error,omitempty"`
	Helm           any     `json:"helm"`
	KustomizeError string  `json:"kustomize_error,omitempty"`
	Kustomize      []*node `json:"kustomize"`
}

// One of the three; none for an alias.
type node struct {
	Scalar *string    `json:"scalar,omitempty"`
	Plain  bool       `json:"plain,omitempty"`
	List   []*node    `json:"list,omitempty"`
	Map    [][2]*node `json:"map,omitempty"`
}

// The nodes of a file of a few kilobytes, or a bomb.
const most = 20000

func tree(from *kyaml.Node, count *int) *node {
	*count++
	if *count > most {
		return &node{}
	}
	to := &node{}
	switch from.Kind {
	case kyaml.ScalarNode:
		to.Scalar = &from.Value
		quoted := kyaml.DoubleQuotedStyle | kyaml.SingleQuotedStyle | kyaml.LiteralStyle | kyaml.FoldedStyle
		to.Plain = from.Style&quoted == 0
	case kyaml.SequenceNode:
		for _, item := range from.Content {
			to.List = append(to.List, tree(item, count))
		}
	case kyaml.MappingNode:
		for at := 0; at+1 < len(from.Content); at += 2 {
			to.Map = append(to.Map, [2]*node{tree(from.Content[at], count), tree(from.Content[at+1], count)})
		}
	}
	return to
}

func read(text []byte) (got answer) {
	// A panic of theirs is an error to whoever calls them.
	defer func() {
		if recover() != nil {
			got = answer{HelmError: "panic", KustomizeError: "panic"}
		}
	}()
	if err := yaml.Unmarshal(text, &got.Helm); err != nil {
		got.HelmError, got.Helm = err.Error(), nil
	}
	decoder, count := kyaml.NewDecoder(bytes.NewReader(text)), 0
	for {
		var document kyaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			got.KustomizeError = err.Error()
			return got
		}
		for _, root := range document.Content {
			got.Kustomize = append(got.Kustomize, tree(root, &count))
		}
	}
}

func main() {
	input, output := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var length uint32
		if err := binary.Read(input, binary.BigEndian, &length); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		text := make([]byte, length)
		if _, err := io.ReadFull(input, text); err != nil {
			log.Fatal(err)
		}
		if err := json.NewEncoder(output).Encode(read(text)); err != nil {
			log.Fatal(err)
		}
		if err := output.Flush(); err != nil {
			log.Fatal(err)
		}
	}
}
