#!/bin/sh
exec peer node start
