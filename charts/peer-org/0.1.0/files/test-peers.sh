# Asks each of $PEERS for its channels: a TLS handshake, a signature and an answer.
failed=
for peer in $PEERS; do
  export CORE_PEER_ADDRESS="$peer:7051"
  if peer channel list >out 2>&1; then
    echo "$peer answers"
  else
    echo "$peer does not answer:"
    tail -n 3 out
    failed="$failed $peer"
  fi
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
