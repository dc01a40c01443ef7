{{- define "of-helm.name" -}}
{{ .Values.name }}
{{- end }}
