//! Templates that were written for Helm: the same folder, another language.

/// What to do with one.
pub const WAY_OUT: &str = "templates here are written in Jinja (docs/charts.md), so it has to be rewritten or installed by helm";

/// How an action of a Go template begins that no expression of Jinja can begin with.
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

/// The number of the first line that holds an action of a Go template.
pub fn first_line(text: &str) -> Option<usize> {
    text.lines()
        .position(|line| line.split("{{").skip(1).any(is_go_action))
        .map(|index| index + 1)
}

/// Whether this stands after `{{` in Go: `.Values.name }}`, `- range .Values.peers }}`, `end }}`.
fn is_go_action(after: &str) -> bool {
    let action = after.strip_prefix('-').unwrap_or(after).trim_start();
    let is_field = action
        .strip_prefix('.')
        .is_some_and(|field| field.starts_with(|c: char| c.is_alphabetic() || c == ' '));
    is_field
        || BEGINNINGS
            .iter()
            .any(|beginning| match action.strip_prefix(beginning) {
                // A variable of Jinja may be called `ending`.
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
    fn go_templates_are_told_from_jinja() {
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
