# Asks each of $ORDERERS for a channel that does not exist. An orderer that works completes the
# TLS handshake and answers NOT_FOUND.
failed=
for orderer in $ORDERERS; do
  # shellcheck disable=SC2086
  peer channel fetch oldest block -c kubectl-fabric-test -o "$orderer:7050" $ORDERER_TLS >out 2>&1
  if grep -q NOT_FOUND out; then
    echo "$orderer answers"
  else
    echo "$orderer does not answer:"
    tail -n 3 out
    failed="$failed $orderer"
  fi
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
