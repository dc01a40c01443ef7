{{- define "peers.labels" -}}
app.kubernetes.io/name: {{ .name | quote }}
app.kubernetes.io/instance: {{ .release | quote }}
app.kubernetes.io/component: peer
{{- end }}
