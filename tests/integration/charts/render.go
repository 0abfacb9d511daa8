// Renders one template of a chart by Go's own engine, which is what Helm renders with.
package main

import (
	"encoding/json"
	"os"
	"text/template"
)

func main() {
	var values map[string]any
	if err := json.Unmarshal([]byte(os.Args[2]), &values); err != nil {
		panic(err)
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	parsed := template.Must(template.New("chart").Option("missingkey=error").Parse(string(text)))
	if err := parsed.Execute(os.Stdout, map[string]any{"Values": values}); err != nil {
		panic(err)
	}
}
