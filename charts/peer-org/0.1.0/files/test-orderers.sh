# Compares the height of each channel of each of $PEERS with the newest block that $ORDERERS have.
export LC_ALL=C
failed=
seen=
[ -n "$ORDERERS" ] || { echo "the values name no ordering organization (networkPolicy.ordererOrgs)"; exit 0; }

# Prints the height of channel $1 on the peer at $CORE_PEER_ADDRESS, 0 if the peer does not tell.
height() {
  height=$(peer channel getinfo -c "$1" 2>info | sed -n 's/.*"height":\([0-9]*\).*/\1/p')
  echo "${height:-0}"
}

# Writes the certificates in channel $1's configuration to authorities.pem: its orderers' authorities are among them.
authorities() {
  peer channel fetch config config.block -c "$1" >out 2>&1 || return 1
  sed -n '/-----BEGIN CERTIFICATE/,/-----END CERTIFICATE/{s/.*-----BEGIN/-----BEGIN/;s/\(-----END CERTIFICATE-----\).*/\1/;p;}' \
    config.block >authorities.pem
}

# Waits until $peer has as many blocks of $channel as $1, because blocks take a moment to arrive.
catches_up() {
  tries=0
  while has=$(height "$channel"); [ "$has" -lt "$1" ] && [ "$tries" -lt 30 ]; do
    tries=$((tries + 1))
    sleep 1
  done
  [ "$has" -ge "$1" ]
}

for peer in $PEERS; do
  export CORE_PEER_ADDRESS="$peer:7051"
  if ! peer channel list >channels 2>out; then
    echo "$peer does not answer:"
    tail -n 3 out
    failed="$failed $peer"
    continue
  fi
  for channel in $(sed '/^Channels peers has joined/d' channels); do
    seen=yes
    if ! authorities "$channel"; then
      echo "$peer does not give the configuration of channel $channel:"
      tail -n 3 out
      failed="$failed $peer:$channel"
      continue
    fi
    served=
    for orderer in $ORDERERS; do
      # shellcheck disable=SC2086
      if ! peer channel fetch newest newest.block -c "$channel" -o "$orderer:7050" $ORDERER_TLS >out 2>&1; then
        if grep -q NOT_FOUND out; then
          echo "$orderer does not serve channel $channel"
          continue
        fi
        served=yes
        echo "$orderer does not give channel $channel to a member of the organization:"
        tail -n 3 out
        failed="$failed $orderer:$channel"
        continue
      fi
      served=yes
      newest=$(sed -n 's/.*Received block: *\([0-9]*\).*/\1/p' out | tail -n 1)
      blocks=$((${newest:-0} + 1))
      if catches_up "$blocks"; then
        echo "$peer has all $blocks blocks of channel $channel that $orderer has"
      else
        echo "$peer has $has blocks of channel $channel, $orderer has $blocks: blocks do not reach the peer"
        failed="$failed $peer:$channel"
      fi
    done
    if [ -z "$served" ]; then
      echo "no orderer that the values name serves channel $channel"
      failed="$failed $channel"
    fi
  done
done
[ -n "$seen$failed" ] || echo "no peer has joined a channel yet"
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
