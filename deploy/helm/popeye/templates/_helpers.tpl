{{/* The beginning of every name. */}}
{{- define "popeye.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of a part: dict "root" $ "component" "poll". What selects its pods never changes. */}}
{{- define "popeye.selector" -}}
app.kubernetes.io/name: {{ .root.Values.nameOverride | default .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "popeye.labels" -}}
{{ include "popeye.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: popeye
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: without a version, so that a new one restarts only what it changes. */}}
{{- define "popeye.podLabels" -}}
{{ include "popeye.selector" . }}
app.kubernetes.io/part-of: popeye
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An image: dict "image" (dict repository tag digest) "tag" "the tag if it has none". */}}
{{- define "popeye.imageName" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .tag }}
{{- end -}}
{{- end -}}

{{/* The image of a role: dict "root" $ "role" "poll". What a role does not set is as for all. */}}
{{- define "popeye.image" -}}
{{- $own := (index .root.Values .role).image | default dict -}}
{{- $image := dict
    "repository" ($own.repository | default .root.Values.image.repository)
    "tag" ($own.tag | default .root.Values.image.tag)
    "digest" $own.digest -}}
{{- if not (or $own.repository $own.tag $own.digest) -}}
{{- $_ := set $image "digest" .root.Values.image.digest -}}
{{- end -}}
{{- include "popeye.imageName" (dict "image" $image "tag" .root.Chart.AppVersion) -}}
{{- end -}}

{{- define "popeye.ownImage" -}}
{{- include "popeye.imageName" (dict "image" .Values.image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- define "popeye.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Pod Security "restricted": dict "user" 65532, and "group" if it is another. */}}
{{- define "popeye.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .group | default .user }}
fsGroup: {{ .group | default .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "popeye.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What Go's memory is to stay below: four fifths of the limit. */}}
{{- define "popeye.goMemLimit" -}}
{{- $limit := .limits.memory | toString -}}
{{- if hasSuffix "Gi" $limit -}}
{{- div (mul (trimSuffix "Gi" $limit | int) 1024 4) 5 -}}MiB
{{- else if hasSuffix "Mi" $limit -}}
{{- div (mul (trimSuffix "Mi" $limit | int) 4) 5 -}}MiB
{{- else -}}
{{- fail (printf "the memory limit %s has to be in Mi or Gi" $limit) -}}
{{- end -}}
{{- end -}}

{{/* A size such as 1Gi in MiB. */}}
{{- define "popeye.mebibytes" -}}
{{- $size := . | toString -}}
{{- if hasSuffix "Ti" $size -}}{{- mul (trimSuffix "Ti" $size | int) 1048576 -}}
{{- else if hasSuffix "Gi" $size -}}{{- mul (trimSuffix "Gi" $size | int) 1024 -}}
{{- else if hasSuffix "Mi" $size -}}{{- trimSuffix "Mi" $size | int -}}
{{- else -}}{{- fail (printf "the size %s has to be in Mi, Gi or Ti" $size) -}}{{- end -}}
{{- end -}}

{{/* The Secret of a part: dict "root" $ "part" "poll". */}}
{{- define "popeye.secret" -}}
{{- $part := .part -}}
{{- if eq $part "metrics" -}}{{- $part = "exporters" -}}{{- end -}}
{{- (index .root.Values $part).existingSecret | default (printf "%s-%s" (include "popeye.fullname" .root) .part) -}}
{{- end -}}

{{/* The parts that need a Secret, separated by commas. */}}
{{- define "popeye.secretParts" -}}
{{- $parts := list "poll" "worker" "result" "admin" "metrics" "migrate" -}}
{{- if eq .Values.postgres.mode "statefulset" -}}{{- $parts = append $parts "postgres" -}}{{- end -}}
{{- if eq .Values.redis.mode "statefulset" -}}{{- $parts = append $parts "redis" -}}{{- end -}}
{{- $parts | join "," -}}
{{- end -}}

{{/* A volume with keys of one Secret, readable by the pod's group: dict "root" "part" "keys". */}}
{{- define "popeye.secretVolume" -}}
- name: secrets
  secret:
    secretName: {{ include "popeye.secret" . }}
    defaultMode: 0440
    items:
      {{- range .keys }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end -}}

{{/* A priority: dict "root" $ "class" "web". */}}
{{- define "popeye.priorityClassName" -}}
{{- $given := index .root.Values.priorityClasses .class -}}
{{- if $given -}}
{{- $given -}}
{{- else if .root.Values.priorityClasses.create -}}
{{- $fullname := include "popeye.fullname" .root -}}
{{- if eq $fullname .root.Release.Namespace -}}
{{- printf "%s-%s" $fullname .class -}}
{{- else -}}
{{- printf "%s-%s-%s" .root.Release.Namespace $fullname .class -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "popeye.priority" -}}
{{- with include "popeye.priorityClassName" . }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Pods of a lost node are replaced soon: dict "root" $ "tolerations" (list). */}}
{{- define "popeye.tolerations" -}}
tolerations:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: {{ .root.Values.failoverSeconds }}}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: {{ .root.Values.failoverSeconds }}}
  {{- with .tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Over hosts and zones as evenly as can be, but never so that an update hangs: dict "root" "component". */}}
{{- define "popeye.spread" -}}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "popeye.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{/* The addresses of the queue servers, each on a line. */}}
{{- define "popeye.queueURLs" -}}
{{- if eq .Values.redis.mode "external" -}}
{{- .Values.redis.external.urls | join "\n" -}}
{{- else -}}
{{- $name := printf "%s-redis" (include "popeye.fullname" .) -}}
{{- $urls := list -}}
{{- range $i := until (.Values.redis.servers | int) -}}
{{- $urls = append $urls (printf "redis://%s-%d.%s.%s.svc:6379" $name $i $name $.Release.Namespace) -}}
{{- end -}}
{{- $urls | join "\n" -}}
{{- end -}}
{{- end -}}

{{/* Settings for who uses the queue: dict "root" $ "user" "poll". */}}
{{- define "popeye.queueArgs" -}}
{{- range splitList "\n" (include "popeye.queueURLs" .root) }}
- --queue={{ . }}
{{- end }}
- --queue-copies={{ .root.Values.redis.copies }}
- --queue-username={{ index .root.Values.redis.users .user }}
- --queue-password-file=/etc/popeye/secrets/redis-password
- --queue-durability={{ .root.Values.redis.durability }}
{{- if and (eq .root.Values.redis.mode "external") .root.Values.redis.external.caSecret }}
- --queue-ca-file=/etc/popeye/queue-ca/ca.crt
{{- end }}
{{- end -}}

{{- define "popeye.queueCAVolume" -}}
{{- if and (eq .Values.redis.mode "external") .Values.redis.external.caSecret }}
- name: queue-ca
  secret: {secretName: {{ .Values.redis.external.caSecret }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{- define "popeye.queueCAMount" -}}
{{- if and (eq .Values.redis.mode "external") .Values.redis.external.caSecret }}
- {name: queue-ca, mountPath: /etc/popeye/queue-ca, readOnly: true}
{{- end }}
{{- end -}}

{{- define "popeye.postgresHost" -}}
{{- $name := printf "%s-postgres" (include "popeye.fullname" .) -}}
{{- if eq .Values.postgres.mode "external" -}}
{{- required "postgres.external.host is needed with postgres.mode external" .Values.postgres.external.host -}}
{{- else if eq .Values.postgres.mode "cloudnative-pg" -}}
{{- $name }}-rw.{{ .Release.Namespace }}.svc
{{- else -}}
{{- $name }}.{{ .Release.Namespace }}.svc
{{- end -}}
{{- end -}}

{{- define "popeye.postgresPort" -}}
{{- if eq .Values.postgres.mode "external" -}}{{- .Values.postgres.external.port -}}{{- else -}}5432{{- end -}}
{{- end -}}

{{- define "popeye.postgresSSLMode" -}}
{{- $modes := dict "statefulset" "disable" "cloudnative-pg" "require" "external" "verify-full" -}}
{{- .Values.postgres.sslmode | default (index $modes .Values.postgres.mode) -}}
{{- end -}}

{{/* Settings for who uses the database: dict "root" $ "user" "worker". */}}
{{- define "popeye.databaseArgs" -}}
- --database=postgres://popeye_{{ .user }}@{{ include "popeye.postgresHost" .root }}:{{ include "popeye.postgresPort" .root }}/{{ .root.Values.postgres.database }}?sslmode={{ include "popeye.postgresSSLMode" .root }}
- --database-password-file=/etc/popeye/secrets/postgres-password
{{- end -}}

{{/* The Secret of who may make roles in the database, and the key in it. */}}
{{- define "popeye.superuserSecret" -}}
{{- if eq .Values.postgres.mode "external" -}}
{name: {{ required "postgres.external.superuserSecret.name is needed to make roles" .Values.postgres.external.superuserSecret.name }}, items: [{key: {{ .Values.postgres.external.superuserSecret.key }}, path: superuser}]}
{{- else if eq .Values.postgres.mode "cloudnative-pg" -}}
{name: {{ include "popeye.fullname" . }}-postgres-superuser, items: [{key: password, path: superuser}]}
{{- else -}}
{name: {{ include "popeye.secret" (dict "root" . "part" "postgres") }}, items: [{key: postgres-password, path: superuser}]}
{{- end -}}
{{- end -}}

{{/* The environment of PostgreSQL's own programs: dict "root" $ "user" "popeye_migrate". */}}
{{- define "popeye.postgresEnv" -}}
- {name: PGHOST, value: {{ include "popeye.postgresHost" .root }}}
- {name: PGPORT, value: {{ include "popeye.postgresPort" .root | quote }}}
- {name: PGUSER, value: {{ .user }}}
- {name: PGDATABASE, value: {{ .root.Values.postgres.database }}}
- {name: PGSSLMODE, value: {{ include "popeye.postgresSSLMode" .root }}}
{{- if hasPrefix "verify" (include "popeye.postgresSSLMode" .root) }}
- {name: PGSSLROOTCERT, value: /etc/ssl/certs/ca-certificates.crt}
{{- end }}
{{- end -}}

{{- define "popeye.superuser" -}}
{{- if eq .Values.postgres.mode "external" -}}{{- .Values.postgres.external.superuser -}}{{- else -}}postgres{{- end -}}
{{- end -}}

{{- define "popeye.postgresImage" -}}
{{- include "popeye.imageName" (dict "image" .Values.postgres.image "tag" "") -}}
{{- end -}}

{{/* Whether the release makes roles in the database. */}}
{{- define "popeye.managesRoles" -}}
{{- if or (ne .Values.postgres.mode "external") .Values.postgres.external.manageRoles -}}true{{- end -}}
{{- end -}}

{{/* A service account without a token: dict "root" "component". */}}
{{- define "popeye.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "popeye.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "popeye.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end -}}
