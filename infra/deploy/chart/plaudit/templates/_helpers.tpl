{{- define "plaudit.name" -}}
{{- printf "%s-%s" .root.Release.Name .component | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "plaudit.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "plaudit.labels" -}}
{{ include "plaudit.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: plaudit
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "plaudit.image" -}}
{{- $tag := .root.Values.image.tag | default .root.Chart.AppVersion -}}
image: {{ printf "%s:%s-%s" .root.Values.image.repository $tag .flavour | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end -}}

{{- define "plaudit.environment" -}}
envFrom:
  - configMapRef:
      name: {{ include "plaudit.name" (dict "root" .root "component" (.config | default "config")) }}
env:
  - name: PLAUDIT_STORE__URL
    valueFrom:
      secretKeyRef: {{- toYaml .root.Values.secrets.storeUrl | nindent 8 }}
  - name: PLAUDIT_USER_KEY_SECRET
    valueFrom:
      secretKeyRef: {{- toYaml .root.Values.secrets.userKeySecret | nindent 8 }}
  {{- if .root.Values.secrets.kafkaPassword.name }}
  - name: PLAUDIT_EVENT_LOG__SASL_PASSWORD
    valueFrom:
      secretKeyRef: {{- toYaml .root.Values.secrets.kafkaPassword | nindent 8 }}
  {{- end }}
  {{- with .root.Values.ingress.trustedProxies }}
  - name: FORWARDED_ALLOW_IPS
    value: {{ . | quote }}
  {{- end }}
  {{- range $variable, $reference := .root.Values.secrets.more }}
  - name: {{ $variable }}
    valueFrom:
      secretKeyRef: {{- toYaml $reference | nindent 8 }}
  {{- end }}
{{- end -}}

{{- define "plaudit.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "plaudit.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "plaudit.claim" -}}
{{- .root.Values.shared.existingClaim | default (include "plaudit.name" (dict "root" .root "component" "shared")) -}}
{{- end -}}

{{/* Folders of the shared volume below /data. Adapters keep their paths on every node. */}}
{{- define "plaudit.sharedMounts" -}}
{{- $readOnly := .readOnly -}}
{{- range list "adapters" "reward_models" "gates" }}
- name: shared
  mountPath: /data/{{ . }}
  subPath: {{ . }}
  {{- if $readOnly }}
  readOnly: true
  {{- end }}
{{- end }}
{{- end -}}

{{- define "plaudit.sharedVolume" -}}
- name: shared
  persistentVolumeClaim:
    claimName: {{ include "plaudit.claim" . }}
{{- end -}}

{{- define "plaudit.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: {{ .port }}}
  periodSeconds: 5
  failureThreshold: {{ .startupFailures }}
livenessProbe:
  httpGet: {path: /livez, port: {{ .port }}}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 4
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{- define "plaudit.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "plaudit.selector" . | nindent 8 }}
{{- end -}}

{{- define "plaudit.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "plaudit.podMeta" -}}
labels: {{- include "plaudit.labels" . | nindent 2 }}
annotations:
  checksum/config: {{ toYaml .root.Values.config | sha256sum }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "plaudit.podCommon" -}}
serviceAccountName: {{ include "plaudit.name" (dict "root" .root "component" (.account | default "runner")) }}
automountServiceAccountToken: false
securityContext: {{- include "plaudit.podSecurity" . | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
