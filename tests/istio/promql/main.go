// Promql parses each line of its input with the parser of Prometheus, and prints the lines with errors.
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	refused := false
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if _, err := parser.ParseExpr(lines.Text()); err != nil {
			fmt.Printf("%s: %v\n", lines.Text(), err)
			refused = true
		}
	}
	if refused {
		os.Exit(1)
	}
}
