{{- define "guardproxy.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "guardproxy.selector" -}}
app.kubernetes.io/name: guardproxy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "guardproxy.labels" -}}
{{ include "guardproxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: {{ .Values.mode }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "guardproxy.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* A value of guardproxy.toml: JSON and TOML write texts, numbers, booleans and lists of these in the same way. */}}
{{- define "guardproxy.settings" -}}
{{- range $name, $value := .Values.settings }}
{{- if kindIs "map" $value }}
{{- range $key, $item := $value }}
{{ $name }}.{{ $key | quote }} = {{ $item | toJson }}
{{- end }}
{{- else if or (kindIs "float64" $value) (kindIs "int64" $value) (kindIs "int" $value) }}
{{- if eq (float64 $value) (float64 (int64 $value)) }}
{{ $name }} = {{ int64 $value }}
{{- else }}
{{ $name }} = {{ $value }}
{{- end }}
{{- else }}
{{ $name }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{- end -}}

{{/* How probes ask the admin port. The kubelet does not look at whose certificate it is. */}}
{{- define "guardproxy.scheme" -}}
{{- if .Values.tls.admin }}, scheme: HTTPS{{ end -}}
{{- end -}}

{{/* The guard as a container: the same in both modes, but for who can reach it. */}}
{{- define "guardproxy.container" -}}
name: guardproxy
image: {{ include "guardproxy.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - --config=/etc/guardproxy/guardproxy.toml
  - --host={{ ternary "127.0.0.1" "0.0.0.0" (eq .Values.mode "sidecar") }}
  - --port=8080
  - --admin-host=$(POD_IP)
  - --admin-port=9090
  - --audit=/audit
  - --policies={{ ternary "/etc/guardproxy/policies" .Values.shippedPolicy (or (not (empty .Values.policies)) (not (empty .Values.policiesConfigMap))) }}
  {{- if .Values.tls.secretName }}
  - --tls-cert=/etc/guardproxy/tls/tls.crt
  - --tls-key=/etc/guardproxy/tls/tls.key
  {{- end }}
  {{- if .Values.tls.admin }}
  - --tls-port=admin
  {{- end }}
  {{- if .Values.tls.clientCaSecretName }}
  - --tls-client-ca=/etc/guardproxy/client-ca/ca.crt
  {{- end }}
  {{- if .Values.clientKeysSecretName }}
  - --client-keys=/etc/guardproxy/keys
  {{- end }}
  {{- range .Values.extraArgs }}
  - {{ . | quote }}
  {{- end }}
env:
  - name: POD_IP
    valueFrom: {fieldRef: {fieldPath: status.podIP}}
  {{- range $setting, $from := .Values.secrets }}
  - name: GUARDPROXY_{{ $setting | upper }}_FILE
    value: /run/secrets/guardproxy/{{ $setting }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - {name: admin, containerPort: 9090}
  {{- if eq .Values.mode "gateway" }}
  - {name: http, containerPort: 8080}
  {{- end }}
# The other probes begin when this one has succeeded: models load for some seconds.
startupProbe:
  httpGet: {path: /all/readyz, port: admin{{ include "guardproxy.scheme" . }}}
  periodSeconds: 1
  timeoutSeconds: 6
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /all/livez, port: admin{{ include "guardproxy.scheme" . }}}
  periodSeconds: 10
  timeoutSeconds: 6
readinessProbe:
  httpGet: {path: /all/readyz, port: admin{{ include "guardproxy.scheme" . }}}
  periodSeconds: 5
  timeoutSeconds: 6
{{- if eq .Values.mode "gateway" }}
# Balancers learn of the end later than the pod does.
lifecycle:
  preStop: {sleep: {seconds: 5}}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: audit, mountPath: /audit}
  - {name: tmp, mountPath: /tmp}
  - {name: settings, mountPath: /etc/guardproxy/guardproxy.toml, subPath: guardproxy.toml, readOnly: true}
  {{- if or .Values.policies .Values.policiesConfigMap }}
  - {name: policies, mountPath: /etc/guardproxy/policies, readOnly: true}
  {{- end }}
  {{- if .Values.secrets }}
  - {name: secrets, mountPath: /run/secrets/guardproxy, readOnly: true}
  {{- end }}
  {{- if .Values.tls.secretName }}
  - {name: tls, mountPath: /etc/guardproxy/tls, readOnly: true}
  {{- end }}
  {{- if .Values.tls.clientCaSecretName }}
  - {name: client-ca, mountPath: /etc/guardproxy/client-ca, readOnly: true}
  {{- end }}
  {{- if .Values.clientKeysSecretName }}
  - {name: keys, mountPath: /etc/guardproxy/keys, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "guardproxy.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
- name: settings
  configMap: {name: {{ include "guardproxy.name" . }}-settings}
{{- if or .Values.policies .Values.policiesConfigMap }}
- name: policies
  configMap: {name: {{ default (printf "%s-policies" (include "guardproxy.name" .)) .Values.policiesConfigMap }}}
{{- end }}
{{- if .Values.secrets }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $setting, $from := .Values.secrets }}
      - secret: {name: {{ $from.name }}, items: [{key: {{ $from.key | quote }}, path: {{ $setting }}}]}
      {{- end }}
{{- end }}
{{- if .Values.tls.secretName }}
- name: tls
  secret: {secretName: {{ .Values.tls.secretName }}, defaultMode: 0440}
{{- end }}
{{- if .Values.tls.clientCaSecretName }}
- name: client-ca
  secret: {secretName: {{ .Values.tls.clientCaSecretName }}, defaultMode: 0440}
{{- end }}
{{- if .Values.clientKeysSecretName }}
- name: keys
  secret: {secretName: {{ .Values.clientKeysSecretName }}, defaultMode: 0440}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
