# The environment of a Ray node that no container sets:  . cluster/environment.sh   (before ray start; bash or sh)
# One file has the variables for Kubernetes and for machines: kuberay/base/environment.env. What is set already stays.
while IFS= read -r line; do
    case $line in
        [A-Z]*=*) eval "test -n \"\${${line%%=*}+set}\"" || export "${line?}" ;;
    esac
done <"${MCMFH_CLUSTER:-cluster}/kuberay/base/environment.env"
unset line
