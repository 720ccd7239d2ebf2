# Source me: . ./THIS-FILE
for name in $(env | sed -n 's/^\(OS_[A-Z_]*\)=.*/\1/p'); do
    unset "$name"
done
