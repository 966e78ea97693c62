{{/*
A role of Popeye: Deployment, ServiceAccount, budget, autoscaler, and a Service if it
listens. dict
  "root"   $
  "role"   poll, worker, result or admin
  "class"  its priority: web or worker
  "args"   the command line, as YAML
  "keys"   what it needs of its Secret
  "queue"  whether it uses the queue
  "listens" whether anybody reaches it
*/}}
{{- define "popeye.role" -}}
{{- $root := .root -}}
{{- $values := index .root.Values .role -}}
{{- $fullname := include "popeye.fullname" .root -}}
{{- $part := dict "root" .root "component" .role -}}
{{- $scaled := and $values.autoscaling $values.autoscaling.enabled -}}
{{- include "popeye.serviceAccount" $part }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $fullname }}-{{ .role }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "popeye.labels" $part | nindent 4 }}
spec:
  {{- if not $scaled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  minReadySeconds: 5
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- include "popeye.selector" $part | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "popeye.podLabels" $part | nindent 8 }}
      annotations:
        kubectl.kubernetes.io/default-container: {{ .role }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ $fullname }}-{{ .role }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- include "popeye.pullSecrets" .root | nindent 6 }}
      {{- include "popeye.priority" (dict "root" .root "class" .class) | nindent 6 }}
      # The time to drain, then for the requests in flight, then for what is behind them.
      terminationGracePeriodSeconds: {{ add ($values.drainSeconds | default 0) 40 }}
      securityContext:
        {{- include "popeye.podSecurity" (dict "user" 65532) | nindent 8 }}
      containers:
        - name: {{ .role }}
          image: {{ include "popeye.image" (dict "root" .root "role" .role) }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args:
            {{- .args | nindent 12 }}
            {{- range $values.extraArgs }}
            - {{ . | quote }}
            {{- end }}
          env:
            - {name: GOMEMLIMIT, value: {{ include "popeye.goMemLimit" $values.resources }}}
          ports:
            {{- if .listens }}
            - {name: http, containerPort: 8080}
            {{- end }}
            - {name: ops, containerPort: 9090}
          # That other parts are away never restarts it. (Asked over HTTP: to start a program
          # for each question would cost more than all the votes of a quiet day. The node's
          # own questions pass every network policy.)
          startupProbe:
            httpGet: {path: /livez, port: ops}
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: 60
          readinessProbe:
            httpGet: {path: /readyz, port: ops}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          livenessProbe:
            httpGet: {path: /livez, port: ops}
            periodSeconds: 20
            timeoutSeconds: 10
            failureThreshold: 3
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "popeye.containerSecurity" . | nindent 12 }}
          volumeMounts:
            - {name: secrets, mountPath: /etc/popeye/secrets, readOnly: true}
            {{- if .queue }}
            {{- include "popeye.queueCAMount" .root | nindent 12 }}
            {{- end }}
      volumes:
        {{- include "popeye.secretVolume" (dict "root" .root "part" .role "keys" .keys) | nindent 8 }}
        {{- if .queue }}
        {{- include "popeye.queueCAVolume" .root | nindent 8 }}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "popeye.tolerations" (dict "root" .root "tolerations" $values.tolerations) | nindent 6 }}
      {{- include "popeye.spread" $part | nindent 6 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $fullname }}-{{ .role }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "popeye.labels" $part | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "popeye.selector" $part | nindent 6 }}
{{- if .listens }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $fullname }}-{{ .role }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "popeye.labels" $part | nindent 4 }}
spec:
  type: ClusterIP
  selector:
    {{- include "popeye.selector" $part | nindent 4 }}
  ports:
    - {name: http, port: 80, targetPort: http, appProtocol: http}
{{- end }}
{{- if and $scaled (not (and $values.autoscaling.keda $values.autoscaling.keda.enabled)) }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $fullname }}-{{ .role }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "popeye.labels" $part | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $fullname }}-{{ .role }}
  minReplicas: {{ $values.replicas }}
  maxReplicas: {{ max $values.replicas $values.autoscaling.maxReplicas }}
  metrics:
    # Of each pod, whatever it requests.
    - type: Resource
      resource:
        name: cpu
        target: {type: AverageValue, averageValue: {{ $values.autoscaling.cpu }}}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      policies: [{type: Percent, value: 100, periodSeconds: 15}]
    scaleDown:
      stabilizationWindowSeconds: 120
      policies: [{type: Pods, value: 1, periodSeconds: 30}]
{{- end }}
{{- end -}}
