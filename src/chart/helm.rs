//! Recognizes Go templates, which Helm charts use in the same folder.

/// Advice for a Go template.
pub const WAY_OUT: &str = "charts of kubectl-fabric use Jinja templates (docs/charts.md): rewrite \
                           the chart, or install it with helm";

/// Beginnings of Go template actions that no Jinja expression can have.
const BEGINNINGS: [&str; 13] = [
    "/*",
    "$",
    "block \"",
    "define \"",
    "else",
    "end",
    "fail \"",
    "if ",
    "include \"",
    "range ",
    "template \"",
    "toYaml ",
    "with ",
];

/// Returns the number of the first line that contains an action of a Go template.
pub fn first_line(text: &str) -> Option<usize> {
    text.lines()
        .position(|line| line.split("{{").skip(1).any(is_go_action))
        .map(|index| index + 1)
}

/// Returns true if the text after `{{` is a Go action: `.Values.name }}`,
/// `- range .Values.peers }}`, `end }}`.
fn is_go_action(after: &str) -> bool {
    let action = after.strip_prefix('-').unwrap_or(after).trim_start();
    let is_field = action
        .strip_prefix('.')
        .is_some_and(|field| field.starts_with(|c: char| c.is_alphabetic() || c == ' '));
    is_field
        || BEGINNINGS
            .iter()
            .any(|beginning| match action.strip_prefix(beginning) {
                // A Jinja variable may have a name such as `ending`.
                Some(rest) if matches!(*beginning, "else" | "end") => {
                    rest.trim_start_matches([' ', '-']).starts_with("}}")
                        || rest.starts_with(" if ")
                }
                rest => rest.is_some(),
            })
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn go_templates_are_distinguished_from_jinja() {
        for go in [
            "{{ .Values.a }}",
            "{{.Release.Name}}",
            "{{- if .Values.a }}",
            "x: {{ toYaml .Values.a | nindent 2 }}",
            "{{ include \"demo.name\" . }}",
            "{{- with .Values.a -}}",
            "{{ end }}",
            "{{- end -}}",
            "{{ else if .x }}",
            "{{- $name := .x }}",
            "{{/* remark */}}",
            "a: {{ values.a }} {{ range . }}",
        ] {
            assert_eq!(first_line(&format!("a: 1\n{go}\n")), Some(2), "{go}");
        }
        for jinja in [
            "{{ values.a }}",
            "{% if values.a %}",
            "{{- values.a }}",
            "{{ include(\"_x.txt\") }}",
            "{{ range(3) }}",
            "{{ ending }}",
            "{{ elsewhere }}",
            "{{ end_of_life }}",
            "{{ \".Values\" }}",
            "text about .Values.a",
        ] {
            assert_eq!(first_line(jinja), None, "{jinja}");
        }
    }
}
